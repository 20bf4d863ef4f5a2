"""Sources: files, folders, cameras, network streams, pipes, ROS recordings."""

from .base import Source, SourceHealth, SourceInfo
from .camera import list_cameras
from .opening import open_source

__all__ = ["Source", "SourceHealth", "SourceInfo", "list_cameras", "open_source"]
