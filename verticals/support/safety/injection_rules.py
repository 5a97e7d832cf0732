"""Wordings of injected prompts, in English and Chinese. Ignores paraphrase: that is what the trained head is for.

`ADDRESSES_MODEL` is enough to call a sentence injected. `COMMANDS` is not, because articles are full of commands to
customers; it counts only in a passage that holds an injected sentence already.
"""

from __future__ import annotations

import re

_MODEL = r"(?:ai|a\.i\.|assistant|chat ?bot|bot|llm|language model|ai model|support agent|virtual agent)"
ADDRESSES_MODEL = re.compile(
    "|".join(
        (
            r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instructions?|prompts?|guidelines?|"
            r"directives?|restrictions?|(?:your|these|those|all|above|previous|prior) rules|(?:everything|anything|all|"
            r"text) (?:above|before|previous|prior|you))\b",
            r"\bsystem (?:prompt|override)\b|\bas an ai\b|\bdo anything now\b|\bjailbr[eo]",
            r"\b(?:you are|act as|pretend to be)\b.{0,30}\b(?:an? (?:ai|assistant|language model|agent)\b|"
            r"without (?:any )?(?:limit|restriction|rule|filter))|\bfrom now on,? you (?:are|will|must|answer)\b|"
            r"\bwithout any restrictions\b|\byou are now (?:dan|in|the|free|evil|acting|un\w+)\b",
            r"\b(?:new|following|updated) (?:instructions?|directives?|orders?|task)\b.{0,30}:|\bnew directive\b",
            rf"\b(?:dear|hey|attention|to|to you,?|for|note to|message (?:to|for)) (?:the |all |this |"
            rf"any )?{_MODEL}\b\s*[:,.]|"
            r"\bautomated readers?\b|\bto you, the model\b",
            rf"\b{_MODEL}\b.{{0,30}}\b(?:must|should|shall|has to|needs? to|will now)\b.{{0,20}}\b(?:say|tell|reply|"
            r"respond|output|send|call|carry|perform|do|execute|ignore|follow|first|claim|offer|give|refund|not)\b",
            r"\b(?:reply|respond|answer) (?:only |exactly )*with (?:only |exactly )*the (?:word|text|phrase)\b",
            r"</?(?:information|system|instructions?|important|assistant|user|tool|prompt|admin)>|<\|[^|>]{1,30}\|>|"
            r"#{2,}\s*\(?(?:system|instruction|assistant)|\[/?(?:system|inst|admin)\]|\bsystem_message\b",
            r"^\W*(?:system|assistant|user|human|ai)\s*:|\btodo\s*:|-{2,} ?end of \w+|[-.!?]\s+(?:user|assistant|"
            r"system):\s",
            r"\bbefore (?:you )?(?:can |do )?(?:solv|answer|complet|continu|respond)\w*\b.{0,60}\b(?:task|"
            r"do the following|first|action|step)\b|\btask that i (?:gave|have given) you\b|"
            r"\bafter you do that, you can\b",
            r"\b(?:tool|function) [`'\"]?[a-z]+_[a-z_]+|\bsubstitute the placeholders\b|\bend of (?:document|article|"
            r"context|prompt)\b\W*$",
            r"\b(?:tell|ask|show|inform|convince|insult) (?:the|this|every) (?:customer|user)\b|\bthis (?:customer|"
            r"user)(?:'s)?\b|\bto the customer and ask\b|\bnever mention (?:it|this)\b|\bwithout asking (?:anyone|"
            r"anybody|for)\b",
            r"(?:忽略|无视|忘记|不要理会|跳过).{0,10}(?:指令|指示(?!灯)|规则|提示|要求|上文|内容)|系统(?:消息|提示词|"
            r"指令)|提示词|致.{0,6}(?:助手|机器人|客服|模型)|你现在是.{0,12}(?:模式|限制|助手|角色|AI)|没有任何限制|"
            r"在?回答(?:问题|用户)?(?:之)?前.{0,8}(?:先|请)|完成后再(?:继续)?回答|(?:告诉|向|让)(?:客户|用户|顾客)|"
            r"(?:按照|执行)(?:以下|下面|如下).{0,4}(?:要求|指令|操作)|不要询问任何人|该(?:客户|用户|顾客)",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)
COMMANDS = re.compile(
    r"^\W*(?:\w+:\s*)?(?:(?:please|kindly|then|also|first|now|and|finally|next)\W+)*(?:send|forward|transfer|refund|"
    r"pay|wire|issue|give|post|visit|open|click|delete|cancel|change|update|reset|set|add|remove|invite|subscribe|"
    r"reveal|print|list|show|approve|mark|close|book|call|tell|say|write|reply|recommend|pretend|store|hide|make|email|"
    r"do|use|answer|ask|claim|raise|switch|insult|create|get|concatenate|modify|access|share|upload|download|execute|"
    r"run|remember|thank)\b|\bdo not (?:ask|wait|tell|mention)\b|^\W*(?:请|立即|马上|现在)?(?:把|将|向|给|取消|删除|"
    r"修改|输出|告诉|发送|不要)|完成后",
    re.IGNORECASE,
)
