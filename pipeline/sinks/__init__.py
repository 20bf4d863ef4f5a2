"""Where results go: video, images, JSON lines, a window."""
