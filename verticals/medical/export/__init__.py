"""What leaves a report: DICOM objects, FHIR, PDF and text, each from one version and its images. Ignores storage.

Equal input gives equal bytes: every UID is derived, every moment is the version's own.
"""
