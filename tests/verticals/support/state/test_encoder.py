"""A turn's tokens, and where a stretch of the message is among them."""

from __future__ import annotations

import torch

from verticals.support.state.dialogue import Turn
from verticals.support.state.encoder import MAX_TOKENS, TurnEncoder, pad


def test_characters_of_the_users_message_are_found_among_the_turns_tokens(encoder: TurnEncoder) -> None:
    alone, answer = encoder.tokenize(Turn("at 7 pm")), encoder.tokenize(Turn("at 7 pm", "When?"))

    assert alone.token_range(3, 7) == (3, 4)
    assert answer.token_range(3, 7) == (5, 6)
    assert alone.ids[3:5] == answer.ids[5:7]


def test_long_messages_are_cut_and_what_was_cut_has_no_tokens(encoder: TurnEncoder) -> None:
    tokens = encoder.tokenize(Turn("taxi " * 300, "When? " * 300))

    assert len(tokens.ids) == 2 * MAX_TOKENS + 3
    assert tokens.token_range(0, 4) == (MAX_TOKENS + 2, MAX_TOKENS + 2)
    assert tokens.token_range(5 * MAX_TOKENS, 5 * MAX_TOKENS + 4) is None


def test_a_turns_states_do_not_depend_on_the_padding(encoder: TurnEncoder) -> None:
    turns = [encoder.tokenize(turn).ids for turn in (Turn("taxi"), Turn("At noon.", "When?"))]

    together, alone = encoder.states(*pad(turns)), encoder.states(*pad(turns[:1]))

    torch.testing.assert_close(together[0, : len(turns[0])], alone[0])


def test_a_text_has_one_vector_of_length_one_alone_or_among_others(encoder: TurnEncoder) -> None:
    together = encoder.embed(["a taxi", "restaurant in Napa", "a taxi"])

    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(together[0], together[2])
    assert encoder.embed([]).shape == (0, encoder.dim)
