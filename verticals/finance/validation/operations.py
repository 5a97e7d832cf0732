"""What a validator can ask for. Imports schemas only."""

from __future__ import annotations

from verticals.contract import Artifact, Operation
from verticals.finance.validation import schemas

VALIDATION_OPERATIONS = (
    Operation(
        name="validation",
        request=schemas.ReportRequest,
        response=schemas.ValidationReport,
        summary="The validation report of the model in force, on its development sample, out of fold.",
        path="/validation",
        method="GET",
    ),
    Operation(
        name="validate_sample",
        request=schemas.SampleReportRequest,
        response=schemas.ValidationReport,
        summary="The validation report of a CSV of applicants with outcomes, compared with the development sample.",
        path="/validation",
    ),
    Operation(
        name="reject_inference",
        request=schemas.RejectInferenceRequest,
        response=schemas.RejectInferenceReport,
        summary="Five methods of reject inference on a CSV of decided and declined applicants, with their caveats.",
        path="/reject-inference",
    ),
    Operation(
        name="model_document",
        request=schemas.DocumentRequest,
        response=Artifact,
        summary="The model document, generated from card and validation report, as Markdown or PDF.",
        path="/model/document",
        method="GET",
    ),
    Operation(
        name="expected_loss",
        request=schemas.ExpectedLossRequest,
        response=schemas.ExpectedLossResponse,
        summary="Expected credit loss of a portfolio: PD x LGD x EAD, staged as IFRS 9 asks.",
        path="/expected-loss",
        examples={
            "two credits": {
                "exposures": [
                    {
                        "exposure_id": "c-1",
                        "prob_default_12m": 0.02,
                        "prob_default_12m_at_origination": 0.02,
                        "amount": "5000.00",
                        "months_remaining": 24,
                        "annual_rate": 0.06,
                        "loss_given_default": 0.45,
                    },
                    {
                        "exposure_id": "c-2",
                        "prob_default_12m": 0.08,
                        "prob_default_12m_at_origination": 0.02,
                        "amount": "5000.00",
                        "months_remaining": 24,
                        "annual_rate": 0.06,
                        "loss_given_default": 0.45,
                    },
                ]
            }
        },
    ),
)
