"""Silence small enough to travel inside a command: the clock of films without sound.

mpv's exact clock, ``audio-pts``, exists only while an audio track plays. A film without sound is
therefore given a silent one. It has to be seekable (a ``lavfi`` source is not), short as text
(it is repeated in an edit list thousands of times) and free of files that the player's container
might not see: a FLAC stream of constant blocks, as a ``hex://`` address, is all three.
"""

from functools import cache

RATE_HZ = 8_000  # the lowest rate with a code of its own in a FLAC frame header
BLOCK_SAMPLES = 64_000  # the longer the block, the fewer bytes a second of silence takes
BLOCK_NS = BLOCK_SAMPLES * 1_000_000_000 // RATE_HZ  # 8 s
MAX_BLOCKS = 8  # 64 s in 300 characters; longer silence is put together from pieces
MAX_SILENCE_NS = MAX_BLOCKS * BLOCK_NS

_HEADER_CRC_POLYNOMIAL = 0x07
_FRAME_CRC_POLYNOMIAL = 0x8005


@cache
def silence_uri(blocks: int) -> str:
    """Address of ``blocks`` blocks of silence (1 to `MAX_BLOCKS`), 110 to 300 characters."""
    return "hex://" + silence_flac(blocks).hex()


def silence_flac(blocks: int) -> bytes:
    """A whole FLAC file: 8 kHz, mono, 16 bit, ``blocks`` times 8 s of zeros."""
    if not 1 <= blocks <= MAX_BLOCKS:
        raise ValueError(f"blocks={blocks}: use 1 to {MAX_BLOCKS}")
    frames = [_frame(number) for number in range(blocks)]
    sizes = BLOCK_SAMPLES.to_bytes(2) * 2 + len(frames[0]).to_bytes(3) * 2
    channels, bits, total = 1, 16, BLOCK_SAMPLES * blocks
    shape = RATE_HZ << 44 | (channels - 1) << 41 | (bits - 1) << 36 | total
    no_checksum = bytes(16)
    info = sizes + shape.to_bytes(8) + no_checksum
    last_block_streaminfo = b"\x80"
    return b"".join([b"fLaC", last_block_streaminfo, len(info).to_bytes(3), info, *frames])


def _frame(number: int) -> bytes:
    """One frame: header, its checksum, one constant subframe of value 0, checksum of it all."""
    sync, explicit_16_bit_size_at_8_khz, mono_16_bit = b"\xff\xf8", b"\x74", b"\x08"
    header = (
        sync
        + explicit_16_bit_size_at_8_khz
        + mono_16_bit
        + bytes([number])
        + (BLOCK_SAMPLES - 1).to_bytes(2)
    )
    header += _crc(header, _HEADER_CRC_POLYNOMIAL, 8).to_bytes(1)
    constant_zero = b"\x00" + b"\x00\x00"
    frame = header + constant_zero
    return frame + _crc(frame, _FRAME_CRC_POLYNOMIAL, 16).to_bytes(2)


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    top, mask, value = 1 << (bits - 1), (1 << bits) - 1, 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value
