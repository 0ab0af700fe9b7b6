"""Which attribute belongs to which level, and what a search answers by default (PS3.18 section 10.6.1.2, 10.6.3.3)."""

from __future__ import annotations

import re
from enum import IntEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")

Tag = str
"""A tag as the DICOM JSON model writes it: 8 upper-case hex digits (PS3.18 annex F)."""
TagPath = tuple[Tag, ...]
"""An attribute, inside sequences when it has more than one part."""


class Level(IntEnum):
    """The levels that can be searched."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


CHARSET = "00080005"
RETRIEVE_URL = "00081190"
AVAILABILITY = "00080056"
TIMEZONE = "00080201"
STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
INSTANCE_UID = "00080018"
SOP_CLASS = "00080016"
MODALITY = "00080060"
MODALITIES_IN_STUDY = "00080061"
SERIES_IN_STUDY = "00201206"
INSTANCES_IN_STUDY = "00201208"
INSTANCES_IN_SERIES = "00201209"
AVAILABLE_SYNTAX = "00083002"
INSTANCE_NUMBER = "00200013"
PATIENT_ID = "00100020"
PATIENT_ISSUER = "00100021"
STUDY_DATE = "00080020"
STUDY_TIME = "00080030"

UID_OF = {Level.STUDY: STUDY_UID, Level.SERIES: SERIES_UID, Level.INSTANCE: INSTANCE_UID}

_STUDY_MODULES = """
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID OtherPatientIDs
    OtherPatientIDsSequence OtherPatientNames PatientBirthDate PatientBirthTime PatientBirthName PatientSex
    PatientMotherBirthName EthnicGroup PatientComments PatientSpeciesDescription PatientSpeciesCodeSequence
    PatientBreedDescription PatientBreedCodeSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence QualityControlSubject
    StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber IssuerOfAccessionNumberSequence StudyDescription
    ReferringPhysicianName ReferringPhysicianIdentificationSequence ConsultingPhysicianName PhysiciansOfRecord
    NameOfPhysiciansReadingStudy RequestingService ReferencedStudySequence ProcedureCodeSequence
    ReasonForPerformedProcedureCodeSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
    PatientAge PatientSize PatientWeight PatientBodyMassIndex MedicalAlerts Allergies SmokingStatus PregnancyStatus
    LastMenstrualDate PatientState Occupation AdditionalPatientHistory AdmissionID IssuerOfAdmissionIDSequence
    ServiceEpisodeID ServiceEpisodeDescription PatientSexNeutered ClinicalTrialSponsorName ClinicalTrialProtocolID
    ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID
    ClinicalTrialSubjectReadingID ClinicalTrialTimePointID ClinicalTrialTimePointDescription
    ModalitiesInStudy NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
"""
_SERIES_MODULES = """
    Modality SeriesInstanceUID SeriesNumber Laterality SeriesDate SeriesTime SeriesDescription
    SeriesDescriptionCodeSequence PerformingPhysicianName OperatorsName ProtocolName BodyPartExamined PatientPosition
    ReferencedPerformedProcedureStepSequence RelatedSeriesSequence RequestAttributesSequence
    PerformedProcedureStepID PerformedProcedureStepStartDate PerformedProcedureStepStartTime
    PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedProcedureStepDescription
    PerformedProtocolCodeSequence CommentsOnThePerformedProcedureStep Manufacturer InstitutionName InstitutionAddress
    StationName InstitutionalDepartmentName ManufacturerModelName DeviceSerialNumber SoftwareVersions
    FrameOfReferenceUID PositionReferenceIndicator ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID
    ClinicalTrialSeriesDescription AnatomicRegionSequence NumberOfSeriesRelatedInstances
"""
_STUDY_DEFAULTS = """
    StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy ReferringPhysicianName
    TimezoneOffsetFromUTC RetrieveURL PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID
    NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
"""
_SERIES_DEFAULTS = """
    Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL SeriesInstanceUID SeriesNumber
    NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
    RequestAttributesSequence
"""
_INSTANCE_DEFAULTS = """
    SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL AvailableTransferSyntaxUID
    InstanceNumber Rows Columns BitsAllocated NumberOfFrames
"""


def _tags(keywords: str) -> tuple[Tag, ...]:
    numbers = [tag_for_keyword(keyword) for keyword in keywords.split()]
    return tuple(f"{number:08X}" for number in numbers if number is not None)


MODULES = {
    Level.STUDY: frozenset(_tags(_STUDY_MODULES)) | {TIMEZONE},
    Level.SERIES: frozenset(_tags(_SERIES_MODULES)) | {TIMEZONE},
}
"""The attributes of patient and study, and of series and equipment; all others belong to the instance."""

DEFAULTS = {
    Level.STUDY: _tags(_STUDY_DEFAULTS),
    Level.SERIES: _tags(_SERIES_DEFAULTS),
    Level.INSTANCE: _tags(_INSTANCE_DEFAULTS),
}
"""What a search at a level answers unasked (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

COMPUTED = frozenset({RETRIEVE_URL, AVAILABILITY, AVAILABLE_SYNTAX})
"""What no file says."""
ONLY_WHEN_KNOWN = frozenset({TIMEZONE, AVAILABILITY, "00280008", "00280010", "00280011", "00280100"})
"""Defaults that are left out when the dataset lacks them; the others are answered empty."""


def level_of(tag: Tag) -> Level:
    """The level that the attribute *tag* describes."""
    if tag in MODULES[Level.STUDY]:
        return Level.STUDY
    return Level.SERIES if tag in MODULES[Level.SERIES] else Level.INSTANCE


def vr_of(tag: Tag) -> str:
    """The value representation of *tag* in the dictionary (PS3.6), ``UN`` when it is not there."""
    try:
        return dictionary_VR(int(tag, 16)).partition(" ")[0]
    except KeyError:
        return "UN"


def resolve(name: str) -> TagPath | None:
    """The attribute that *name* means: keywords or 8 hex digits, joined by dots inside sequences; None for others."""
    tags = [_resolve_one(part) for part in name.split(".")]
    return None if None in tags else tuple(tag for tag in tags if tag is not None)


def _resolve_one(name: str) -> Tag | None:
    if _TAG.fullmatch(name):
        return name.upper()
    if not _KEYWORD.fullmatch(name):
        return None
    number = tag_for_keyword(name)
    return None if number is None else f"{number:08X}"
