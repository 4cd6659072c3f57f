"""Files of more than 8 bits a channel, written by the letter of their formats: Pillow writes few of them."""

import struct
import zlib
from pathlib import Path

import numpy as np


def write_tiff(path: Path, values: np.ndarray, order: str = "<", packed: bool = False, **tags: int | str) -> Path:
    """Write (H, W) or (H, W, channels) numbers of any kind as TIFF, in one strip.

    Args:
        path: the file.
        values: the numbers.
        order: < or >, of the bytes.
        packed: with zlib.
        tags: ``photometric``, ``planar`` (the channels one after another), ``samples`` (how they are meant, extra
            ones), ``no_data`` as GDAL writes it.
    """
    height, width, *more = values.shape
    channels = more[0] if more else 1
    laid = values.transpose(2, 0, 1) if tags.get("planar") == 2 else values
    ordered = np.dtype(f"{order}{values.dtype.kind}{values.dtype.itemsize}")
    strips = [
        plane.astype(ordered).tobytes() for plane in (laid if laid.ndim == 3 and tags.get("planar") == 2 else [laid])
    ]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    data = b"".join(strips)
    starts = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries: list[tuple[int, int, list[int] | bytes]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [values.dtype.itemsize * 8] * channels),
        (259, 3, [8 if packed else 1]),
        (262, 3, [int(tags.get("photometric", 2 if channels > 2 else 1))]),
        (273, 4, starts),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(strip) for strip in strips]),
        (284, 3, [int(tags.get("planar", 1))]),
        (339, 3, [kind] * channels),
    ]
    if channels in (2, 4):
        entries.append((338, 3, [2]))
    if "no_data" in tags:
        entries.append((42113, 2, str(tags["no_data"]).encode() + b"\0"))
    entries.sort()
    at = 8 + len(data)
    beyond = at + 2 + 12 * len(entries) + 4
    directory, rest = struct.pack(f"{order}H", len(entries)), b""
    for tag, form, content in entries:
        packed_content = (
            content if isinstance(content, bytes) else struct.pack(f"{order}{len(content)}{'HI'[form - 3]}", *content)
        )
        if len(packed_content) <= 4:
            place = packed_content.ljust(4, b"\0")
        else:
            place = struct.pack(f"{order}I", beyond + len(rest))
            rest += packed_content + b"\0" * (len(packed_content) % 2)
        directory += struct.pack(f"{order}HHI", tag, form, len(content)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    path.write_bytes(head + data + directory + bytes(4) + rest)
    return path


def write_png(path: Path, values: np.ndarray) -> Path:
    """Write (H, W) or (H, W, 2 to 4) numbers of 16 bits as PNG, every row with another filter."""
    height, width, *more = values.shape
    channels = more[0] if more else 1
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    step = 2 * channels

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = b""
    for y, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, dtype=int), row[:-step]])
        above = rows[y - 1] if y else np.zeros_like(row)
        guess = [0 * row, left, above, (left + above) // 2][y % 4]
        packed += bytes([y % 4]) + ((row - guess) % 256).astype(np.uint8).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path
