"""What a report or a record says: sentences, findings with their assertion, entities, codes. Imports nothing."""
