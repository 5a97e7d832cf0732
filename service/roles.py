"""What each role of a person may do: one table of roles and scopes. Ignores how a person proves who they are.

A scope is `area.operation`, `area.*` or `*`. A person with several roles has the scopes of all of them; a role that is
not in the table gives none. Who decides first and who confirms are told apart by the person, not by the role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

OF_ALL_TENANTS = frozenset({"models", "operations"})  # areas that `*` does not include
_FINANCE_READING = (
    *("finance.score", "finance.explain", "finance.counterfactual", "finance.model", "finance.distribution"),
    *("finance.decisions", "finance.application_record", "finance.proposed_overrides", "finance.sources"),
    *("finance.events", "finance.features", "finance.portfolio", "finance.validation", "finance.model_document"),
    *("finance.simulate", "finance.policies", "finance.policy", "finance.cases", "finance.case"),
    *("finance.fraud_model", "finance.expected_loss", "finance.reject_inference", "finance.export"),
)
_SUPPORT_DESK = (
    *("support.chat", "support.get_references", "support.search", "support.list_documents"),
    *("support.create_ticket", "support.list_tickets", "support.get_ticket", "support.edit_ticket"),
    *("support.run_ticket", "support.create_session", "support.list_sessions", "support.get_session"),
    *("support.send_message", "support.resume_session", "support.close_session", "support.list_handoffs"),
    *("support.take_over", "support.reply_as_person", "support.hand_back", "support.list_approvals"),
    *("support.get_memory", "support.list_consents", "support.rate_answer"),
)

ROLES: Mapping[str, tuple[str, ...]] = {
    # Scores, files evidence, decides otherwise with a reason, decides fraud cases, drafts policies.
    "analyst": (
        *_FINANCE_READING,
        *("finance.score_batch", "finance.documents", "finance.file_text", "finance.append_events"),
        *("finance.override_decision", "finance.open_case", "finance.decide_case", "finance.score_cards"),
        *("finance.keep_cards", "finance.label_cards", "finance.record_outcomes", "finance.validate_sample"),
        "finance.store_policy",
    ),
    # The second pair of eyes, and who brings a policy into force.
    "approver": (
        *_FINANCE_READING,
        *("finance.confirm_override", "finance.activate_policy", "finance.roll_back_policy"),
    ),
    # Reads, edits and signs; looks at what intake held. Which findings are shown is not theirs to switch.
    "radiologist": (
        *("medical.ingest_study", "medical.ingest_files", "medical.list_refusals", "medical.list_held"),
        *("medical.show_held", "medical.release_held", "medical.discard_held", "medical.list_studies"),
        *("medical.get_study", "medical.render", "medical.pixels", "medical.prior", "medical.watch"),
        *("medical.get_report", "medical.edit_report", "medical.sign_report", "medical.add_addendum"),
        *("medical.read_record", "medical.export_report", "medical.attention", "medical.fundus_steps"),
        *("medical.ct_nodules", "medical.fleischner", "medical.lung_rads", "medical.list_few_shot"),
        *("medical.read_few_shot", "medical.train_few_shot"),
    ),
    # Talks with customers and works their tickets.
    "agent": _SUPPORT_DESK,
    # An agent who also approves actions, keeps the knowledge base, and answers customers' rights.
    "supervisor": (
        *_SUPPORT_DESK,
        *("support.decide_approval", "support.ingest", "support.upload", "support.delete_document"),
        *("support.quality", "support.list_feedback", "support.export_memory", "support.forget_memory", "evals.read"),
    ),
    # Reads the audit trail and the nightly figures, changes nothing.
    "auditor": ("audit.verify", "audit.read", "audit.replay", "audit.export", "evals.read"),
    # Everything of the own tenant, and what of a person must be forgotten.
    "admin": ("*", "audit.erase"),
    # The models that all tenants share, and how the service is; no tenant's data.
    "operator": ("models.*", "operations.*", "evals.read"),
}


def scopes_of(roles: Iterable[str]) -> tuple[str, ...]:
    """The scopes of all `roles` together, in the table's order, each once."""
    given = set(roles)
    return tuple(dict.fromkeys(scope for role, scopes in ROLES.items() if role in given for scope in scopes))


def covers(scopes: Iterable[str], scope: str) -> bool:
    """Whether `scopes` hold `scope`, its area, or everything that is one tenant's."""
    area = scope.partition(".")[0]
    return not {scope, f"{area}.*", "" if area in OF_ALL_TENANTS else "*"}.isdisjoint(scopes)
