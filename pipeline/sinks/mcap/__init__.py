"""MCAP files: a recording in one file, as ROS 2 messages."""
