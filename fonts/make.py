#!/usr/bin/env python3
"""Makes labels.bin.gz, the glyphs that the labels of contact sheets are written with, of GNU Unifont's unifont.hex.

    python3 make.py unifont.hex labels.bin.gz

The file, unpacked: for each glyph in the order of code points, the code point (2 bytes, big endian), the width in pixels
(1 byte, 8 or 16), and 16 rows from the top of width / 8 bytes each, the highest bit on the left.
"""

import gzip
import sys

# Latin, Greek, Cyrillic, punctuation, arrows, CJK punctuation, kana, ideographs, Hangul, and full-width forms.
RANGES = [
    (0x0020, 0x007E), (0x00A0, 0x024F), (0x0370, 0x03FF), (0x0400, 0x045F), (0x2010, 0x205E), (0x2190, 0x2193),
    (0x2200, 0x22FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF01, 0xFFE6),
]


def main(source, target):
    glyphs = []
    with open(source, encoding="ascii") as lines:
        for line in lines:
            code, _, rows = line.strip().partition(":")
            code, rows = int(code, 16), bytes.fromhex(rows)
            if any(first <= code <= last for first, last in RANGES):
                glyphs.append((code, rows))
    packed = b"".join(
        code.to_bytes(2, "big") + bytes([len(rows) // 2]) + rows for code, rows in sorted(glyphs)
    )
    with open(target, "wb") as file:
        file.write(gzip.compress(packed, 9, mtime=0))
    print(f"{len(glyphs)} glyphs, {len(packed)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
