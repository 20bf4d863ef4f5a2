"""Calibration from cameras, videos and folders: views are taken from them here and solved in `calib`."""
