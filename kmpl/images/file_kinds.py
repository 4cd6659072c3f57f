"""Identify a file by its name and first bytes: a readable picture, a picture of another format, or no picture."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
"""Pillow's names of the readable formats."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
"""In lower case; compare with ``path.suffix.lower()``."""

_MAX_FILES_LISTED = 5  # in a message
_HEAD_BYTES = 132  # the mark of DICOM is in the last four
_BMP_HEADER_BYTES = (12, 16, 40, 52, 56, 64, 108, 124)  # a BMP is recognised by its two letters and this size

_SAVE = "save it as PNG or JPEG"
_RAW = "a camera's raw file: develop it to JPEG or TIFF (darktable-cli, dcraw -T)"
_ARRAY = "an array: save each picture as PNG (PIL.Image.fromarray(numpy.load(FILE)).save(…))"
_SLIDE = "a microscope's file: export what is to be read as PNG or TIFF (Fiji, QuPath)"
_VOLUME = "a volume: export its slices as 16-bit PNG"
_DICOM = "DICOM: export it as 16-bit PNG (dcm2pnm +on2)"
_DRAWING = f"a drawing: {_SAVE}, at the size that is to be read"
_HEIF = f"HEIF: {_SAVE} (heif-convert, or the camera's setting 'most compatible')"
_AVIF = f"AVIF: {_SAVE} (avifdec)"
_JXL = f"JPEG XL: {_SAVE} (djxl)"
_JP2 = f"JPEG 2000: {_SAVE} (opj_decompress)"
_FITS = "FITS: save it as 32-bit floating-point TIFF"
_LAYERS = f"a file of layers: {_SAVE}"
_OTHER_SUFFIXES = {
    ".heic .heif .hif .heics .heifs": _HEIF,
    ".avif .avifs": _AVIF,
    ".jxl": _JXL,
    ".jp2 .j2k .jpx .jpf .j2c .jph": _JP2,
    ".dng .arw .sr2 .srf .cr2 .cr3 .crw .nef .nrw .orf .rw2 .raf .pef .srw .x3f .3fr .fff .iiq .erf .kdc .dcr .mrw .mef"
    " .mos .rwl .gpr .raw": _RAW,
    ".dcm .dicom .ima": _DICOM,
    ".npy .npz": _ARRAY,
    ".nii .nii.gz .mha .mhd .nrrd .mgz": _VOLUME,
    ".svs .ndpi .scn .mrxs .vsi .czi .nd2 .lif .oib .oif .lsm .mrc .dm3 .dm4 .bif": _SLIDE,
    ".fits .fit .fts .fits.gz .fz": _FITS,
    ".psd .psb .xcf .kra .ora .clip .procreate": _LAYERS,
    ".svg .svgz .eps .ai .wmf .emf .cdr": _DRAWING,
    ".tga .icb .vda .pcx .ppm .pgm .pbm .pnm .pam .pfm .dds .exr .hdr .rgbe .sgi .rgb .rgba .bw .ras .xbm .xpm .xwd"
    " .ico .icns .cur .qoi .ief .jxr .wdp .hdp .flif .bpg .pict .pct .cin .dpx .fpx": _SAVE,
}
_DESCRIPTION = {suffix: text for suffixes, text in _OTHER_SUFFIXES.items() for suffix in suffixes.split()}


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFile:
    """A file that is a picture, or looks like one."""

    by_content: bool = False
    """Its first bytes show that it is a readable picture; its name does not."""
    unreadable: str = ""
    """Why it cannot be read, and what would help; empty if it can."""


def identify(path: Path) -> PictureFile | None:
    """Return what is known of a picture file; None if neither its name nor its content is a picture's.

    Only files without a suffix of ``IMAGE_SUFFIXES`` are opened, to read their first bytes.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return PictureFile() if path.is_file() else PictureFile(unreadable="is no file (a link that leads nowhere?)")
    other = _description_by_suffix(path.name.lower())
    try:
        head = first_bytes(path)
    except OSError as error:
        reason = f"cannot be opened to see what it is: {error.strerror or error}"
        return PictureFile(unreadable=reason) if other or not path.suffix else None
    name = format_of(head)
    # Raw files and slides begin like a TIFF, too; Pillow would read the small preview in them.
    if name and not (other and name == "TIFF"):
        return PictureFile(by_content=True)
    if description := other or description_of(head):
        return PictureFile(unreadable=f"is not read here: {description}")
    return None


def _description_by_suffix(name: str) -> str:
    """Return the description of the format that the suffixes of a lower-case name stand for; empty if unknown."""
    parts = name.split(".")[1:]
    return next((_DESCRIPTION[s] for s in (f".{'.'.join(parts[-n:])}" for n in (2, 1)) if s in _DESCRIPTION), "")


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file; none of a pipe or a device, which might wait for ever.

    Raises:
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return b""
    with path.open("rb", buffering=0) as file:
        return file.read(_HEAD_BYTES)


def format_of(head: bytes) -> str:
    """Return the format of ``FORMATS`` that a file with these first bytes has; empty for any other.

    >>> format_of(b"GIF89a..."), format_of(b"BMI of all patients")
    ('GIF', '')
    """
    begins = {
        "PNG": (b"\x89PNG\r\n\x1a\n",),
        "JPEG": (b"\xff\xd8\xff",),
        "GIF": (b"GIF87a", b"GIF89a"),
        "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    }
    if name := next((name for name, marks in begins.items() if head.startswith(marks)), ""):
        return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES
    return "BMP" if bitmap else ""


def description_of(head: bytes) -> str:
    """Return the name of another picture format, by its first bytes, and what would help; empty if it is none.

    >>> description_of(bytes(4) + b"ftypavif")
    'AVIF: save it as PNG or JPEG (avifdec)'
    """
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return _AVIF
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return _HEIF
    if head[4:12] == b"ftypcrx " or head.startswith((b"IIRO", b"IIU\0", b"FUJIFILMCCD-RAW")):
        return _RAW
    marks = {
        b"\xff\x0a": _JXL,
        b"\0\0\0\x0cJXL ": _JXL,
        b"\0\0\0\x0cjP  ": _JP2,
        b"\xff\x4f\xff\x51": _JP2,
        b"\x93NUMPY": _ARRAY,
        b"8BPS": _LAYERS,
        b"gimp xcf": _LAYERS,
        b"SIMPLE  =": _FITS,
        b"v/1\x01": _SAVE,
        b"DDS ": _SAVE,
        b"qoif": _SAVE,
    }
    if head[128:132] == b"DICM":
        return _DICOM
    return next((text for mark, text in marks.items() if head.startswith(mark)), "")


def by_content_sentence(files: Sequence[str]) -> tuple[str, ...]:
    """Return the sentence on images that only their content shows to be images; nothing if there are none.

    >>> by_content_sentence(["a", "b.dat"])
    ('2 files are images by their content, not by their names, and are read: a, b.dat',)
    """
    if not files:
        return ()
    more = len(files) - _MAX_FILES_LISTED
    names = ", ".join(sorted(files)[:_MAX_FILES_LISTED]) + (f", and {more:,} more" if more > 0 else "")
    statement = "1 file is an image by its content, not by its name, and is read"
    if len(files) > 1:
        statement = f"{len(files):,} files are images by their content, not by their names, and are read"
    return (f"{statement}: {names}",)
