"""English forms that a stemmer leaves apart from their verb: "sold" and "sell". Ignores those of two meanings ("left").

For the choice of evidence alone: an index would have to be built anew.
"""

from __future__ import annotations

_FORMS = """
began begun begin; bent bend; bit bitten bite; blew blown blow; bought buy; broke broken break; brought bring; built
build; burnt burn; came come; caught catch; chose chosen choose; drew drawn draw; drove driven drive; fell
fallen fall; flew flown fly; forgot forgotten forget; froze frozen freeze; gave given give; got gotten get; grew grown
grow; hid hidden hide; held hold; kept keep; knew known know; learnt learn; lent lend; lost lose; made make; meant mean;
met meet; paid pay; rode ridden ride; rang rung ring; said say; sent send; sewn sew; shook shaken shake; shrank shrunk
shrink; shown show; slept sleep; sold sell; sought seek; spent spend; spilt spill; spoke spoken speak; spoilt spoil;
stole stolen steal; stuck stick; swept sweep; taught teach; threw thrown throw; thought think; told tell; took taken
take; tore torn tear; understood understand; went gone go; withdrew withdrawn withdraw; won win; wore worn wear; written
wrote write
"""
BASE_OF = {form: verb for line in _FORMS.split(";") for *forms, verb in [line.split()] for form in forms}
