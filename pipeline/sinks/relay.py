"""The process behind a network output: takes H.264 in FLV on stdin and sends it to an address.

A process of its own, since PyAV holds Python's lock while it connects and writes: a receiver that does not answer would
stop the run. It is run as a file and imports nothing but PyAV. The first line of stdin is JSON: the address (there,
nobody else sees its password), FFmpeg's muxer, its options, and for how many seconds an answer is waited for. Why it
ended is one line on stderr: the exception's name and what FFmpeg says.
"""

import json
import sys

import av
import av.error

_AT_ONCE = {"probesize": "32", "analyzeduration": "1", "fpsprobesize": "0"}


def main() -> None:
    """Relay until stdin ends."""
    told = json.loads(sys.stdin.buffer.readline())
    with av.open(sys.stdin.buffer, "r", format="flv", options=_AT_ONCE) as source:
        video = source.streams.video[0]
        target = av.open(told["url"], "w", format=told["muxer"], container_options=told["options"], timeout=told["s"])
        with target:
            stream = target.add_stream_from_template(video)
            for packet in source.demux(video):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)


if __name__ == "__main__":
    try:
        main()
    except (av.error.FFmpegError, OSError, IndexError) as error:
        print(f"{type(error).__name__} {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        sys.exit(1)
