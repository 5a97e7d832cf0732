"""Identity documents: an image's fields, and how they agree with an application and with themselves.

Nothing of a document is stored. What a person or the score may use leaves as features and findings.
"""
