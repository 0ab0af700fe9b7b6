"""Archives: a DICOM server behind us, by name. What they answer is a value; how they are asked is the gateway's."""

from keyhole.archive.lean import import_pydicom

import_pydicom()
