"""Training of the detector: its images made by the project's own fusion, and the run itself."""
