"""Infrared onto the visible frame: the rig's map, its drift, agreement of both cameras."""
