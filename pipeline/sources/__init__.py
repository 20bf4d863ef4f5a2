"""Where frames come from: files, folders, cameras, network streams, pipes."""
