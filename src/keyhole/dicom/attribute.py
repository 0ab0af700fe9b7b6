"""Attributes by keyword and by tag (PS3.6), as far as clients search by them or ask for them.

All of patient, study, series and instance that is not retired, and every attribute that holds UIDs. A test compares
the rows with the dictionary of pydicom, which is too heavy to import here: it brings NumPy and takes half a second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_TAG = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the dictionary; ``vr`` and ``keyword`` are empty for a tag that is not in it, as for private ones."""

    tag: str
    vr: str = ""
    keyword: str = ""


def attribute(name: str) -> Attribute | None:
    """The attribute that *name* spells: by its exact keyword, or by exactly eight hex digits; None otherwise."""
    if _TAG.fullmatch(name) is not None:
        return BY_TAG.get(name.upper(), Attribute(name.upper()))
    return BY_KEYWORD.get(name)


_ROWS = """
00080005:CS:SpecificCharacterSet 00080006:SQ:LanguageCodeSequence 00080008:CS:ImageType
00080012:DA:InstanceCreationDate 00080013:TM:InstanceCreationTime 00080014:UI:InstanceCreatorUID
00080015:DT:InstanceCoercionDateTime 00080016:UI:SOPClassUID 00080017:UI:AcquisitionUID 00080018:UI:SOPInstanceUID
00080019:UI:PyramidUID 0008001A:UI:RelatedGeneralSOPClassUID 0008001B:UI:OriginalSpecializedSOPClassUID
0008001C:CS:SyntheticData 00080020:DA:StudyDate 00080021:DA:SeriesDate 00080022:DA:AcquisitionDate
00080023:DA:ContentDate 0008002A:DT:AcquisitionDateTime 00080030:TM:StudyTime 00080031:TM:SeriesTime
00080032:TM:AcquisitionTime 00080033:TM:ContentTime 00080050:SH:AccessionNumber
00080051:SQ:IssuerOfAccessionNumberSequence 00080052:CS:QueryRetrieveLevel 00080053:CS:QueryRetrieveView
00080054:AE:RetrieveAETitle 00080055:AE:StationAETitle 00080056:CS:InstanceAvailability
00080058:UI:FailedSOPInstanceUIDList 00080060:CS:Modality 00080061:CS:ModalitiesInStudy 00080062:UI:SOPClassesInStudy
00080063:SQ:AnatomicRegionsInStudyCodeSequence 00080064:CS:ConversionType 00080068:CS:PresentationIntentType
00080070:LO:Manufacturer 00080080:LO:InstitutionName 00080081:ST:InstitutionAddress 00080082:SQ:InstitutionCodeSequence
00080090:PN:ReferringPhysicianName 00080092:ST:ReferringPhysicianAddress 00080094:SH:ReferringPhysicianTelephoneNumbers
00080096:SQ:ReferringPhysicianIdentificationSequence 0008009C:PN:ConsultingPhysicianName
0008009D:SQ:ConsultingPhysicianIdentificationSequence 00080100:SH:CodeValue 00080101:LO:ExtendedCodeValue
00080102:SH:CodingSchemeDesignator 00080103:SH:CodingSchemeVersion 00080104:LO:CodeMeaning 00080105:CS:MappingResource
00080106:DT:ContextGroupVersion 00080107:DT:ContextGroupLocalVersion 00080108:LT:ExtendedCodeMeaning
00080109:SQ:CodingSchemeResourcesSequence 0008010A:CS:CodingSchemeURLType 0008010B:CS:ContextGroupExtensionFlag
0008010C:UI:CodingSchemeUID 0008010D:UI:ContextGroupExtensionCreatorUID 0008010E:UR:CodingSchemeURL
0008010F:CS:ContextIdentifier 00080110:SQ:CodingSchemeIdentificationSequence 00080112:LO:CodingSchemeRegistry
00080114:ST:CodingSchemeExternalID 00080115:ST:CodingSchemeName 00080116:ST:CodingSchemeResponsibleOrganization
00080117:UI:ContextUID 00080118:UI:MappingResourceUID 00080119:UC:LongCodeValue 00080120:UR:URNCodeValue
00080121:SQ:EquivalentCodeSequence 00080122:LO:MappingResourceName 00080123:SQ:ContextGroupIdentificationSequence
00080124:SQ:MappingResourceIdentificationSequence 00080201:SH:TimezoneOffsetFromUTC
00080220:SQ:ResponsibleGroupCodeSequence 00080221:CS:EquipmentModality 00080222:LO:ManufacturerRelatedModelGroup
00080300:SQ:PrivateDataElementCharacteristicsSequence 00080301:US:PrivateGroupReference
00080302:LO:PrivateCreatorReference 00080303:CS:BlockIdentifyingInformationStatus
00080304:US:NonidentifyingPrivateElements 00080305:SQ:DeidentificationActionSequence
00080306:US:IdentifyingPrivateElements 00080307:CS:DeidentificationAction 00080308:US:PrivateDataElement
00080309:UL:PrivateDataElementValueMultiplicity 0008030A:CS:PrivateDataElementValueRepresentation
0008030B:UL:PrivateDataElementNumberOfItems 0008030C:UC:PrivateDataElementName 0008030D:UC:PrivateDataElementKeyword
0008030E:UT:PrivateDataElementDescription 0008030F:UT:PrivateDataElementEncoding
00080310:SQ:PrivateDataElementDefinitionSequence 00080400:SQ:ScopeOfInventorySequence 00080401:LT:InventoryPurpose
00080402:LT:InventoryInstanceDescription 00080403:CS:InventoryLevel 00080404:DT:ItemInventoryDateTime
00080405:CS:RemovedFromOperationalUse 00080406:SQ:ReasonForRemovalCodeSequence 00080407:UR:StoredInstanceBaseURI
00080408:UR:FolderAccessURI 00080409:UR:FileAccessURI 0008040A:CS:ContainerFileType 0008040B:UR:FilenameInContainer
0008040C:UV:FileOffsetInContainer 0008040D:UV:FileLengthInContainer 0008040E:UI:StoredInstanceTransferSyntaxUID
0008040F:CS:ExtendedMatchingMechanisms 00080410:SQ:RangeMatchingSequence 00080411:SQ:ListOfUIDMatchingSequence
00080412:SQ:EmptyValueMatchingSequence 00080413:SQ:GeneralMatchingSequence 00080414:US:RequestedStatusInterval
00080415:CS:RetainInstances 00080416:DT:ExpirationDateTime 00080417:CS:TransactionStatus
00080418:LT:TransactionStatusComment 00080419:SQ:FileSetAccessSequence 0008041A:SQ:FileAccessSequence
0008041D:SQ:MetadataSequence 0008041E:SQ:UpdatedMetadataSequence 0008041F:DT:StudyUpdateDateTime
00080420:SQ:InventoryAccessEndPointsSequence 00080421:SQ:StudyAccessEndPointsSequence
00080422:SQ:IncorporatedInventoryInstanceSequence 00080423:SQ:InventoriedStudiesSequence
00080424:SQ:InventoriedSeriesSequence 00080425:SQ:InventoriedInstancesSequence 00080426:CS:InventoryCompletionStatus
00080427:UL:NumberOfStudyRecordsInInstance 00080428:UV:TotalNumberOfStudyRecords 00080429:UV:MaximumNumberOfRecords
00081010:SH:StationName 00081030:LO:StudyDescription 00081032:SQ:ProcedureCodeSequence 0008103E:LO:SeriesDescription
0008103F:SQ:SeriesDescriptionCodeSequence 00081040:LO:InstitutionalDepartmentName
00081041:SQ:InstitutionalDepartmentTypeCodeSequence 00081048:PN:PhysiciansOfRecord
00081049:SQ:PhysiciansOfRecordIdentificationSequence 00081050:PN:PerformingPhysicianName
00081052:SQ:PerformingPhysicianIdentificationSequence 00081060:PN:NameOfPhysiciansReadingStudy
00081062:SQ:PhysiciansReadingStudyIdentificationSequence 00081070:PN:OperatorsName
00081072:SQ:OperatorIdentificationSequence 00081080:LO:AdmittingDiagnosesDescription
00081084:SQ:AdmittingDiagnosesCodeSequence 00081088:LO:PyramidDescription 00081090:LO:ManufacturerModelName
00081110:SQ:ReferencedStudySequence 00081111:SQ:ReferencedPerformedProcedureStepSequence
00081112:SQ:ReferencedInstancesBySOPClassSequence 00081115:SQ:ReferencedSeriesSequence
00081120:SQ:ReferencedPatientSequence 00081125:SQ:ReferencedVisitSequence
00081134:SQ:ReferencedStereometricInstanceSequence 0008113A:SQ:ReferencedWaveformSequence
00081140:SQ:ReferencedImageSequence 0008114A:SQ:ReferencedInstanceSequence
0008114B:SQ:ReferencedRealWorldValueMappingInstanceSequence 00081150:UI:ReferencedSOPClassUID
00081155:UI:ReferencedSOPInstanceUID 00081156:SQ:DefinitionSourceSequence 0008115A:UI:SOPClassesSupported
00081160:IS:ReferencedFrameNumber 00081161:UL:SimpleFrameList 00081162:UL:CalculatedFrameList 00081163:FD:TimeRange
00081164:SQ:FrameExtractionSequence 00081167:UI:MultiFrameSourceSOPInstanceUID 00081190:UR:RetrieveURL
00081195:UI:TransactionUID 00081196:US:WarningReason 00081197:US:FailureReason 00081198:SQ:FailedSOPSequence
00081199:SQ:ReferencedSOPSequence 0008119A:SQ:OtherFailuresSequence 0008119B:SQ:FailedStudySequence
00081200:SQ:StudiesContainingOtherReferencedInstancesSequence 00081250:SQ:RelatedSeriesSequence
00082111:ST:DerivationDescription 00082112:SQ:SourceImageSequence 00082120:SH:StageName 00082122:IS:StageNumber
00082124:IS:NumberOfStages 00082127:SH:ViewName 00082128:IS:ViewNumber 00082129:IS:NumberOfEventTimers
0008212A:IS:NumberOfViewsInStage 00082130:DS:EventElapsedTimes 00082132:LO:EventTimerNames
00082133:SQ:EventTimerSequence 00082134:FD:EventTimeOffset 00082135:SQ:EventCodeSequence 00082142:IS:StartTrim
00082143:IS:StopTrim 00082144:IS:RecommendedDisplayFrameRate 00082218:SQ:AnatomicRegionSequence
00082220:SQ:AnatomicRegionModifierSequence 00082228:SQ:PrimaryAnatomicStructureSequence
00082230:SQ:PrimaryAnatomicStructureModifierSequence 00083001:SQ:AlternateRepresentationSequence
00083002:UI:AvailableTransferSyntaxUID 00083010:UI:IrradiationEventUID 00083011:SQ:SourceIrradiationEventSequence
00083012:UI:RadiopharmaceuticalAdministrationEventUID 00089007:CS:FrameType 00089092:SQ:ReferencedImageEvidenceSequence
00089121:SQ:ReferencedRawDataSequence 00089123:UI:CreatorVersionUID 00089124:SQ:DerivationImageSequence
00089154:SQ:SourceImageEvidenceSequence 00089205:CS:PixelPresentation 00089206:CS:VolumetricProperties
00089207:CS:VolumeBasedCalculationTechnique 00089208:CS:ComplexImageComponent 00089209:CS:AcquisitionContrast
00089215:SQ:DerivationCodeSequence 00089237:SQ:ReferencedPresentationStateSequence
00089410:SQ:ReferencedOtherPlaneSequence 00089458:SQ:FrameDisplaySequence
00089459:FL:RecommendedDisplayFrameRateInFloat 00089460:CS:SkipFrameRangeFlag 00100010:PN:PatientName
00100020:LO:PatientID 00100021:LO:IssuerOfPatientID 00100022:CS:TypeOfPatientID
00100024:SQ:IssuerOfPatientIDQualifiersSequence 00100026:SQ:SourcePatientGroupIdentificationSequence
00100027:SQ:GroupOfPatientsIdentificationSequence 00100028:US:SubjectRelativePositionInImage
00100030:DA:PatientBirthDate 00100032:TM:PatientBirthTime 00100033:LO:PatientBirthDateInAlternativeCalendar
00100034:LO:PatientDeathDateInAlternativeCalendar 00100035:CS:PatientAlternativeCalendar 00100040:CS:PatientSex
00100050:SQ:PatientInsurancePlanCodeSequence 00100101:SQ:PatientPrimaryLanguageCodeSequence
00100102:SQ:PatientPrimaryLanguageModifierCodeSequence 00100200:CS:QualityControlSubject
00100201:SQ:QualityControlSubjectTypeCodeSequence 00100212:UC:StrainDescription 00100213:LO:StrainNomenclature
00100214:LO:StrainStockNumber 00100215:SQ:StrainSourceRegistryCodeSequence 00100216:SQ:StrainStockSequence
00100217:LO:StrainSource 00100218:UT:StrainAdditionalInformation 00100219:SQ:StrainCodeSequence
00100221:SQ:GeneticModificationsSequence 00100222:UC:GeneticModificationsDescription
00100223:LO:GeneticModificationsNomenclature 00100229:SQ:GeneticModificationsCodeSequence 00101001:PN:OtherPatientNames
00101002:SQ:OtherPatientIDsSequence 00101005:PN:PatientBirthName 00101010:AS:PatientAge 00101020:DS:PatientSize
00101021:SQ:PatientSizeCodeSequence 00101022:DS:PatientBodyMassIndex 00101023:DS:MeasuredAPDimension
00101024:DS:MeasuredLateralDimension 00101030:DS:PatientWeight 00101040:LO:PatientAddress
00101060:PN:PatientMotherBirthName 00101080:LO:MilitaryRank 00101081:LO:BranchOfService
00101100:SQ:ReferencedPatientPhotoSequence 00102000:LO:MedicalAlerts 00102110:LO:Allergies
00102150:LO:CountryOfResidence 00102152:LO:RegionOfResidence 00102154:SH:PatientTelephoneNumbers
00102155:LT:PatientTelecomInformation 00102160:SH:EthnicGroup 00102161:SQ:EthnicGroupCodeSequence
00102180:SH:Occupation 001021A0:CS:SmokingStatus 001021B0:LT:AdditionalPatientHistory 001021C0:US:PregnancyStatus
001021D0:DA:LastMenstrualDate 001021F0:LO:PatientReligiousPreference 00102201:LO:PatientSpeciesDescription
00102202:SQ:PatientSpeciesCodeSequence 00102203:CS:PatientSexNeutered 00102210:CS:AnatomicalOrientationType
00102292:LO:PatientBreedDescription 00102293:SQ:PatientBreedCodeSequence 00102294:SQ:BreedRegistrationSequence
00102295:LO:BreedRegistrationNumber 00102296:SQ:BreedRegistryCodeSequence 00102297:PN:ResponsiblePerson
00102298:CS:ResponsiblePersonRole 00102299:LO:ResponsibleOrganization 00104000:LT:PatientComments
00109431:FL:ExaminedBodyThickness 00180010:LO:ContrastBolusAgent 00180015:CS:BodyPartExamined
00180020:CS:ScanningSequence 00180024:SH:SequenceName 00180050:DS:SliceThickness 00180060:DS:KVP
00180087:DS:MagneticFieldStrength 00181000:LO:DeviceSerialNumber 00181002:UI:DeviceUID
0018100B:UI:ManufacturerDeviceClassUID 00181020:LO:SoftwareVersions 00181030:LO:ProtocolName 00181150:IS:ExposureTime
00181151:IS:XRayTubeCurrent 00181152:IS:Exposure 00181210:SH:ConvolutionKernel
00181400:LO:AcquisitionDeviceProcessingDescription 00182042:UI:TargetUID 00185100:CS:PatientPosition
00185101:CS:ViewPosition 00189073:FD:AcquisitionDuration 0018991E:UI:TargetFrameOfReferenceUID
0020000D:UI:StudyInstanceUID 0020000E:UI:SeriesInstanceUID 00200010:SH:StudyID 00200011:IS:SeriesNumber
00200012:IS:AcquisitionNumber 00200013:IS:InstanceNumber 00200019:IS:ItemNumber 00200020:CS:PatientOrientation
00200027:LO:PyramidLabel 00200032:DS:ImagePositionPatient 00200037:DS:ImageOrientationPatient
00200052:UI:FrameOfReferenceUID 00200060:CS:Laterality 00200062:CS:ImageLaterality
00200100:IS:TemporalPositionIdentifier 00200105:IS:NumberOfTemporalPositions 00200110:DS:TemporalResolution
00200200:UI:SynchronizationFrameOfReferenceUID 00200242:UI:SOPInstanceUIDOfConcatenationSource
00201002:IS:ImagesInAcquisition 0020103F:LO:TargetPositionReferenceIndicator 00201040:LO:PositionReferenceIndicator
00201041:DS:SliceLocation 00201200:IS:NumberOfPatientRelatedStudies 00201202:IS:NumberOfPatientRelatedSeries
00201204:IS:NumberOfPatientRelatedInstances 00201206:IS:NumberOfStudyRelatedSeries
00201208:IS:NumberOfStudyRelatedInstances 00201209:IS:NumberOfSeriesRelatedInstances 00204000:LT:ImageComments
00209056:SH:StackID 00209057:UL:InStackPositionNumber 00209071:SQ:FrameAnatomySequence 00209072:CS:FrameLaterality
00209111:SQ:FrameContentSequence 00209113:SQ:PlanePositionSequence 00209116:SQ:PlaneOrientationSequence
00209128:UL:TemporalPositionIndex 00209153:FD:NominalCardiacTriggerDelayTime
00209154:FL:NominalCardiacTriggerTimePriorToRPeak 00209155:FL:ActualCardiacTriggerTimePriorToRPeak
00209156:US:FrameAcquisitionNumber 00209157:UL:DimensionIndexValues 00209158:LT:FrameComments
00209161:UI:ConcatenationUID 00209162:US:InConcatenationNumber 00209163:US:InConcatenationTotalNumber
00209164:UI:DimensionOrganizationUID 00209165:AT:DimensionIndexPointer 00209167:AT:FunctionalGroupPointer
00209170:SQ:UnassignedSharedConvertedAttributesSequence 00209171:SQ:UnassignedPerFrameConvertedAttributesSequence
00209172:SQ:ConversionSourceAttributesSequence 00209213:LO:DimensionIndexPrivateCreator
00209221:SQ:DimensionOrganizationSequence 00209222:SQ:DimensionIndexSequence 00209228:UL:ConcatenationFrameOffsetNumber
00209238:LO:FunctionalGroupPrivateCreator 00209241:FL:NominalPercentageOfCardiacPhase
00209245:FL:NominalPercentageOfRespiratoryPhase 00209246:FL:StartingRespiratoryAmplitude
00209247:CS:StartingRespiratoryPhase 00209248:FL:EndingRespiratoryAmplitude 00209249:CS:EndingRespiratoryPhase
00209250:CS:RespiratoryTriggerType 00209251:FD:RRIntervalTimeNominal 00209252:FD:ActualCardiacTriggerDelayTime
00209253:SQ:RespiratorySynchronizationSequence 00209254:FD:RespiratoryIntervalTime
00209255:FD:NominalRespiratoryTriggerDelayTime 00209256:FD:RespiratoryTriggerDelayThreshold
00209257:FD:ActualRespiratoryTriggerDelayTime 00209301:FD:ImagePositionVolume 00209302:FD:ImageOrientationVolume
00209307:CS:UltrasoundAcquisitionGeometry 00209308:FD:ApexPosition 00209309:FD:VolumeToTransducerMappingMatrix
0020930A:FD:VolumeToTableMappingMatrix 0020930B:CS:VolumeToTransducerRelationship
0020930C:CS:PatientFrameOfReferenceSource 0020930D:FD:TemporalPositionTimeOffset
0020930E:SQ:PlanePositionVolumeSequence 0020930F:SQ:PlaneOrientationVolumeSequence 00209310:SQ:TemporalPositionSequence
00209311:CS:DimensionOrganizationType 00209312:UI:VolumeFrameOfReferenceUID 00209313:UI:TableFrameOfReferenceUID
00209421:LO:DimensionDescriptionLabel 00209450:SQ:PatientOrientationInFrameSequence 00209453:LO:FrameLabel
00209518:US:AcquisitionIndex 00209529:SQ:ContributingSOPInstancesReferenceSequence 00209536:US:ReconstructionIndex
00280002:US:SamplesPerPixel 00280004:CS:PhotometricInterpretation 00280008:IS:NumberOfFrames 00280010:US:Rows
00280011:US:Columns 00280030:DS:PixelSpacing 00280034:IS:PixelAspectRatio 00280100:US:BitsAllocated
00280101:US:BitsStored
00280301:CS:BurnedInAnnotation 00280302:CS:RecognizableVisualFeatures 00280304:UI:ReferencedColorPaletteInstanceUID
00281050:DS:WindowCenter 00281051:DS:WindowWidth 00281052:DS:RescaleIntercept 00281053:DS:RescaleSlope
00281056:CS:VOILUTFunction
00281199:UI:PaletteColorLookupTableUID 00281214:UI:LargePaletteColorLookupTableUID 00282110:CS:LossyImageCompression
00282112:DS:LossyImageCompressionRatio 0032000A:CS:StudyStatusID 00321031:SQ:RequestingPhysicianIdentificationSequence
00321032:PN:RequestingPhysician 00321033:LO:RequestingService 00321034:SQ:RequestingServiceCodeSequence
00321060:LO:RequestedProcedureDescription 00321064:SQ:RequestedProcedureCodeSequence
00321065:SQ:RequestedLateralityCodeSequence 00321066:UT:ReasonForVisit 00321067:SQ:ReasonForVisitCodeSequence
00321070:LO:RequestedContrastAgent 00340003:UI:FlowTransferSyntaxUID 00380008:CS:VisitStatusID 00380010:LO:AdmissionID
00380014:SQ:IssuerOfAdmissionIDSequence 00380016:LO:RouteOfAdmissions 00380020:DA:AdmittingDate
00380021:TM:AdmittingTime 00380050:LO:SpecialNeeds 00380060:LO:ServiceEpisodeID 00380062:LO:ServiceEpisodeDescription
00380064:SQ:IssuerOfServiceEpisodeIDSequence 00380100:SQ:PertinentDocumentsSequence
00380101:SQ:PertinentResourcesSequence 00380102:LO:ResourceDescription 00380300:LO:CurrentPatientLocation
00380400:LO:PatientInstitutionResidence 00380500:LO:PatientState 00380502:SQ:PatientClinicalTrialParticipationSequence
00384000:LT:VisitComments 003A0310:UI:MultiplexGroupUID 00400007:LO:ScheduledProcedureStepDescription
00400009:SH:ScheduledProcedureStepID 00400244:DA:PerformedProcedureStepStartDate
00400245:TM:PerformedProcedureStepStartTime 00400253:SH:PerformedProcedureStepID
00400254:LO:PerformedProcedureStepDescription 00400260:SQ:PerformedProtocolCodeSequence
00400275:SQ:RequestAttributesSequence 00400512:LO:ContainerIdentifier 00400551:LO:SpecimenIdentifier
00400554:UI:SpecimenUID 00400560:SQ:SpecimenDescriptionSequence 00401001:SH:RequestedProcedureID
00401002:LO:ReasonForTheRequestedProcedure 00404023:UI:ReferencedGeneralPurposeScheduledProcedureStepTransactionUID
0040A021:UI:FindingsGroupUIDTrial 0040A022:UI:ReferencedFindingsGroupUIDTrial 0040A043:SQ:ConceptNameCodeSequence
0040A124:UI:UID 0040A168:SQ:ConceptCodeSequence 0040A171:UI:ObservationUID 0040A172:UI:ReferencedObservationUIDTrial
0040A402:UI:ObservationSubjectUIDTrial 0040A491:CS:CompletionFlag 0040A493:CS:VerificationFlag
0040A730:SQ:ContentSequence 0040DB0C:UI:TemplateExtensionOrganizationUID 0040DB0D:UI:TemplateExtensionCreatorUID
0040E011:UI:RetrieveLocationUID 0040E030:UI:RepositoryUniqueID 0040E031:UI:HomeCommunityID 00420010:ST:DocumentTitle
00420012:LO:MIMETypeOfEncapsulatedDocument 00420015:UL:EncapsulatedDocumentLength 00440102:UI:AssertionUID
00440108:UI:ReferencedAssertionUID 00620001:CS:SegmentationType 00620005:LO:SegmentLabel 00620021:UI:TrackingUID
00640003:UI:SourceFrameOfReferenceUID 00687004:UI:ModelGroupUID 006A0003:UI:AnnotationGroupUID 00700080:CS:ContentLabel
00700081:LO:ContentDescription 00700082:DA:PresentationCreationDate 00700083:TM:PresentationCreationTime
00700084:PN:ContentCreatorName 0070031A:UI:FiducialUID 0070031B:UI:ReferencedFiducialUID
00701101:UI:PresentationDisplayCollectionUID 00701102:UI:PresentationSequenceCollectionUID
00701209:UI:VolumetricPresentationInputSetUID 00701904:UI:ReferencedContentItem 0072007F:UI:SelectorUIValue
00880130:SH:StorageMediaFileSetID 00880140:UI:StorageMediaFileSetUID 04000010:UI:MACCalculationTransferSyntaxUID
04000100:UI:DigitalSignatureUID 04000510:UI:EncryptedContentTransferSyntaxUID 30060002:SH:StructureSetLabel
30060004:LO:StructureSetName 30060008:DA:StructureSetDate 30060024:UI:ReferencedFrameOfReferenceUID
300600C2:UI:RelatedFrameOfReferenceUID 300A0002:SH:RTPlanLabel 300A0003:LO:RTPlanName 300A0006:DA:RTPlanDate
300A0013:UI:DoseReferenceUID 300A0054:UI:TableTopPositionAlignmentUID 300A0083:UI:ReferencedDoseReferenceUID
300A0609:UI:TreatmentPositionGroupUID 300A0650:UI:PatientSetupUID 300A0675:UI:EquipmentFrameOfReferenceUID
300A0700:UI:TreatmentSessionUID 300A0785:UI:ReferencedTreatmentPositionGroupUID 30100006:UI:ConceptualVolumeUID
3010000B:UI:ReferencedConceptualVolumeUID 30100013:UI:ConstituentConceptualVolumeUID
30100015:UI:SourceConceptualVolumeUID 3010001F:UI:SegmentationTemplateUID 30100031:UI:ReferencedFiducialsUID
3010003B:UI:RTTreatmentPhaseUID 30100052:UI:PertinentSOPClassesInStudy 30100053:UI:PertinentSOPClassesInSeries
3010006E:UI:DosimetricObjectiveUID 3010006F:UI:ReferencedDosimetricObjectiveUID
"""

BY_TAG: Mapping[str, Attribute] = MappingProxyType(
    {row[:8]: Attribute(*row.split(":")) for row in _ROWS.split()},
)
"""Attributes by tag, eight upper-case hex digits."""

BY_KEYWORD: Mapping[str, Attribute] = MappingProxyType({known.keyword: known for known in BY_TAG.values()})
"""Attributes by keyword."""

_ABOVE_SERIES = """
SpecificCharacterSet TimezoneOffsetFromUTC InstanceAvailability RetrieveURL
PatientName PatientID IssuerOfPatientID TypeOfPatientID OtherPatientNames OtherPatientIDsSequence PatientBirthDate
PatientBirthTime PatientBirthName PatientMotherBirthName PatientSex EthnicGroup PatientComments QualityControlSubject
PatientSpeciesDescription PatientBreedDescription ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber IssuerOfAccessionNumberSequence StudyDescription
ReferringPhysicianName ConsultingPhysicianName PhysiciansOfRecord NameOfPhysiciansReadingStudy RequestingPhysician
RequestingService RequestedProcedureDescription ProcedureCodeSequence AdmittingDiagnosesDescription AdmissionID
PatientAge PatientSize PatientWeight MedicalAlerts Allergies SmokingStatus PregnancyStatus LastMenstrualDate
PatientState Occupation AdditionalPatientHistory PatientSexNeutered ServiceEpisodeID ServiceEpisodeDescription
"""

ABOVE_SERIES: frozenset[str] = frozenset(BY_KEYWORD[keyword].tag for keyword in _ABOVE_SERIES.split())
"""Tags that are the same in all series of a study: those of patient and study (PS3.3 C.7.1 and C.7.2)."""

_TO_LOOK_AT = """
SpecificCharacterSet StudyInstanceUID StudyDate StudyTime StudyDescription ModalitiesInStudy
NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances SeriesInstanceUID SeriesNumber SeriesDescription
SeriesDate SeriesTime Modality BodyPartExamined Laterality NumberOfSeriesRelatedInstances SOPClassUID SOPInstanceUID
InstanceNumber InstanceAvailability ImagePositionPatient ImageOrientationPatient SliceLocation
PhotometricInterpretation NumberOfFrames Rows Columns PixelSpacing PixelAspectRatio WindowCenter WindowWidth
VOILUTFunction
"""

TO_LOOK_AT: frozenset[str] = frozenset(BY_KEYWORD[keyword].tag for keyword in _TO_LOOK_AT.split())
"""Tags that a list of pictures takes: which there are, in which order, and how to show them. Nothing about a person."""

OF_PATIENT = frozenset({"00201200", "00201202", "00201204"})
OF_STUDY = frozenset({"00080061", "00080062", "00080063", "00201206", "00201208"})
OF_SERIES = frozenset({"00201209"})
"""Tags that archives compute: counts and lists of what a patient, a study, a series holds."""
