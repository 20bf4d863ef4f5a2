"""The process behind a network output: takes H.264 in FLV on stdin and sends it to an address.

It is a process of its own because PyAV holds the GIL while it connects and writes: a receiver that does not answer
would stop the run. It is run as a file and imports only PyAV. The first line of stdin is JSON: the address (there its
password is not visible to other users), FFmpeg's muxer, its options, and the timeout in seconds. On an error one line
goes to stderr: the name of the exception and FFmpeg's message.
"""

import json
import sys

import av
import av.error

_NO_PROBING = {"probesize": "32", "analyzeduration": "1", "fpsprobesize": "0"}


def main() -> None:
    """Relay until stdin ends."""
    settings = json.loads(sys.stdin.buffer.readline())
    with av.open(sys.stdin.buffer, "r", format="flv", options=_NO_PROBING) as source:
        video = source.streams.video[0]
        target = av.open(
            settings["url"], "w", format=settings["muxer"], container_options=settings["options"], timeout=settings["s"]
        )
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
