"""A fundus photograph as JPEG or PNG, wrapped into an Ophthalmic Photography object; only with its side.

The same picture of the same eye gives the same object, so that sending it twice stores it once. Nobody's name is in it.
"""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from verticals.contract import InvalidInput
from verticals.medical.colour import MODALITY, SOP_CLASS
from verticals.medical.picture_files import JPEG, is_picture, opened


def to_dicom(content: bytes, laterality: str | None) -> bytes:
    """A DICOM Part 10 file of the picture; what is no JPEG or PNG is given back as it is.

    Raises:
        InvalidInput: without laterality, or the picture is damaged or not in colour.
        TooLarge: over `MAX_PIXELS`.
    """
    if not is_picture(content):
        return content
    if laterality is None:
        raise InvalidInput(
            "must be L or R: a picture does not say which eye it shows",
            field="laterality",
            remedy="Send the photographed eye as laterality.",
        )
    rgb = _pixels(content)
    kept = _object(rgb, laterality, hashlib.sha256(laterality.encode() + content).digest())
    if content.startswith(JPEG):
        kept.LossyImageCompression, kept.LossyImageCompressionMethod = "01", "ISO_10918_1"
    made = io.BytesIO()
    kept.save_as(made, enforce_file_format=True)
    return made.getvalue()


def _pixels(content: bytes) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    with opened(content, field="file") as picture:
        if picture.mode != "RGB":
            raise InvalidInput("must be in colour, 8 bits a channel, without transparency", field="file")
        return np.array(picture)


def _object(rgb: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]], laterality: str, digest: bytes) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uids = [UID(f"2.25.{int.from_bytes(hashlib.sha256(digest + bytes([n])).digest()[:16])}") for n in range(3)]
    made.SOPClassUID, made.SOPInstanceUID = SOP_CLASS, uids[0]
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = SOP_CLASS, uids[0]
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Modality = uids[1], uids[2], MODALITY
    made.PatientID, made.PatientName = f"PHOTOGRAPH-{digest.hex()[:16]}", ""  # one's own: no prior is made up
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.BodyPartExamined, made.ImageLaterality, made.InstanceNumber = "EYE", laterality, 1
    made.ContentDate, made.ContentTime = datetime.now(UTC).strftime("%Y%m%d"), "000000"
    made.NumberOfFrames, (made.Rows, made.Columns) = 1, rgb.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    data = rgb.tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    return made
