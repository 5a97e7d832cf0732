"""Harmful requests by their words, in English and Chinese: the categories, and the baseline of the trained classifier.

One table. A rule wants a deed and its object near each other, so that "the lamp exploded" is no bomb. Ignores
paraphrase: that is what the classifier is for.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Category(StrEnum):
    """What kind of harm. SELF_HARM is never refused but handed to a person."""

    SELF_HARM = "self_harm"
    SEXUAL = "sexual"  # sexual abuse, of children above all
    WEAPONS = "weapons"
    DRUGS = "drugs"
    VIOLENCE = "violence"
    CYBERCRIME = "cybercrime"
    FRAUD = "fraud"
    HATE = "hate"
    DECEPTION = "deception"  # fake news, propaganda
    OTHER = "other"  # seen by the classifier alone


_MAKE = (
    r"(?:mak(?:e|ing)|build(?:ing)?|creat(?:e|ing)|construct\w*|produc(?:e|ing)|synthesi[sz]\w*|manufactur\w*|"
    r"assembl\w*|cook(?:ing)?|grow(?:ing)?|writ(?:e|ing)|develop(?:ing)?|design(?:ing)?|cod(?:e|ing)|deploy\w*|"
    r"obtain\w*|buy(?:ing)?|smuggl\w*)"
)
_PEOPLE = (
    r"(?:someone|somebody|people|a person|a man|a woman|(?:my|your|his|her|their) (?:wife|husband|girlfriend|boyfriend|"
    r"boss|neighbou?r|family|friend|grandmother|ex|parents?|child(?:ren)?|kids?|partner|spouse|co-?worker)|him|her|"
    r"them|others|everyone|(?:a|the) (?:president|celebrity|politician|child|minor|judge|witness)|children|kids|minors)"
)
_RULES: tuple[tuple[Category, str], ...] = (
    (
        Category.SELF_HARM,
        r"\b(?:kill|hang)(?:ing)? (?:myself|yourself|themselves|oneself)\b|\b(?:want|going|plan\w*|urge|thinking|"
        r"thought|thoughts|how|ways?|feel like) (?:\w+ ){0,2}?(?:hurt|harm|cut|starv)(?:t?ing|e)? (?:myself|yourself|"
        r"themselves)\b|\bself[- ]harm|\bsuicid|\bend (?:my|your|their|one's) (?:own )?li(?:fe|ves)\b|"
        r"\btake my (?:own )?life\b|\bi (?:just )?(?:want|wish|would like|need) to (?:die|be dead)\b|"
        r"\bdon'?t want to (?:live|be alive|wake up)\b|\bi(?:'d| would| am|'m) (?:be )?better off dead\b|"
        r"\bno reason to (?:live|go on)\b|\banorexi|\bpro-?ana\b|自杀|自殺|自残|自殘|轻生|不想活|想死(?!你|了你)|"
        r"结束(?:自己|我)的?生命|伤害自己|割腕|活不下去",
    ),
    (
        Category.SEXUAL,
        r"\b(?:child|minor|underage|teen)\w*\W+(?:\w+\W+){0,3}(?:porn|sexual|nude|erotic|explicit)|\bpedophil|"
        r"\b(?:porn|sexual|nude|erotic|explicit)\w*\W+(?:\w+\W+){0,4}(?:child|minor|underage)|\brape\b|\brevenge porn|"
        r"\bsexual(?:ly)? (?:assault|abuse|harass|exploit)|\bhuman traffick|儿童色情|强奸|迷奸",
    ),
    (
        Category.WEAPONS,
        rf"\b{_MAKE}\b.{{0,60}}\b(?:bombs?|explosives?|explosive device|grenades?|molotov|napalm|landmines?|ammunition|"
        r"nerve agents?|nerve gas|sarin|ricin|anthrax|vx|mustard gas|chlorine gas|dimethylmercury|thermite|"
        r"(?:biological|chemical|nuclear|bio)[- ]?(?:weapons?|warfare|agents?)|ghost guns?|firearms?|guns?|silencers?|"
        r"illegal weapons?|weapons? of mass)\b|\b(?:biological|chemical) warfare|(?:制作|制造|自制|怎么做|如何做|合成|"
        r"组装).{0,12}(?:炸弹|炸药|爆炸物|枪支|毒气|燃烧瓶|生化武器)",
    ),
    (
        Category.DRUGS,
        rf"\b{_MAKE}\b.{{0,50}}\b(?:meth(?:amphetamine)?|cocaine|heroin|fentanyl|lsd|mdma|ecstasy|ghb|crack|opium|"
        r"(?:illegal|illicit|recreational|hard) (?:drugs?|substances?))\b|\bdrug (?:traffick|smuggl|deal)|"
        r"\bsell(?:ing)? (?:\w+ )?(?:illegal )?drugs\b|(?:制作|制造|合成|贩卖|购买).{0,8}(?:冰毒|毒品|海洛因|可卡因|"
        r"芬太尼|大麻)",
    ),
    (
        Category.VIOLENCE,
        rf"\b(?:kill|murder|assassinat|poison|stab|strangl|kidnap|abduct|tortur|stalk|blackmail|extort|beat(?:ing)? up|"
        rf"shoot|bully|bullying|harass|threaten|intimidat|lynch)\w*\b\W+(?:\w+\W+){{0,2}}?{_PEOPLE}\b|"
        r"\b(?:commit|plan|carry(?:ing)? out|get away with|incit\w+|encourag\w+|promot\w+|"
        r"glorif\w+)\b.{0,30}\b(?:murder|violence|terroris\w+|terrorist attack|mass shooting|genocide|massacre|arson|"
        r"kidnapping|assault|manslaughter)|\b(?:mass|school) shooting|\bterrorist (?:attack|organi[sz]ation|group)|"
        r"\bdomestic violence\b.{0,20}\b(?:commit|how)|(?:怎么|如何|怎样).{0,6}(?:杀死|杀人|杀害|谋杀|毒死|绑架|勒索|"
        r"弄死)",
    ),
    (
        Category.CYBERCRIME,
        rf"\b(?:{_MAKE}|distribut\w*|spread\w*|inject\w*)\b.{{0,60}}\b(?:malware|ransomware|spyware|keylogger|trojan|"
        r"botnet|rootkit|computer (?:virus|worm)|virus|worm|exploits?|backdoors?|phishing|logic bomb|sql injection|"
        r"password crack\w*|spam)|\bhack(?:s|ed|ing)?\b(?:\W+\w+){0,2}?\W+(?:in)?to\b|\bhack(?:ing)? (?:a|an|the|"
        r"someone|any|government|corporate|bank)\b|\b(?:ddos|denial[- ]of[- ]service)\b|\bbrute[- ]force\b|\b(?:bypass|"
        r"disable|evade|break)\w*\b.{0,30}\b(?:firewalls?|antivirus|anti-virus|security system|intrusion)|"
        r"\bexploit\w*\b.{0,30}\b(?:vulnerabilit|system|software|network)|\b(?:break|gain|"
        r"get)\w* (?:in)?to\b.{0,25}\b(?:someone|server|database|network|another person)|(?:入侵|黑进|"
        r"攻击).{0,10}(?:系统|网站|服务器|账号|账户|数据库)|(?:编写|写|制作|开发).{0,8}(?:木马|病毒|勒索软件|钓鱼网站|"
        r"恶意软件)",
    ),
    (
        Category.FRAUD,
        r"\bidentity theft|\bsteal(?:ing)?\b.{0,40}\b(?:identit|credit cards?|credentials|passwords?|money|data|"
        r"information|cars?|from (?:a|the|someone|my)|confidential|intellectual)|\b(?:money[- ]launder|"
        r"launder(?:ing)? money)|\bcounterfeit|\bforg(?:e|ing) \w+|\bfake (?:id|ids|passport|identification|invoice|"
        r"check|charity|documents?|reviews?|certificates?)\b|\b(?:tax|insurance|credit card|wire|bank|voter|mail|"
        r"securities) fraud|\bevad\w+ (?:tax|law|police|detection)|\bponzi|\bpyramid scheme|\binsider trading|"
        r"\bembezzl|\bshoplift|\bscam(?:s|ming)? (?:people|someone|the|elderly|others|old)|\b(?:defraud|swindl)\w*|"
        r"\bbrib(?:e|ing)\b|\brob(?:bing)? (?:a|the) (?:bank|store|house)|\b(?:rig|manipulat)\w*\b.{0,20}\b(?:election|"
        r"stock|vot)|洗钱|伪造.{0,8}(?:证件|身份证|护照|发票|钞票)|假币|盗刷|(?:偷|盗)(?:取|窃).{0,10}(?:信用卡|密码|"
        r"身份|账户)|逃税",
    ),
    (
        Category.HATE,
        rf"\b(?:{_MAKE}|teach\w*|spread\w*|promot\w*|encourag\w*|argu\w*|explain why|tell)\b.{{0,60}}\b(?:racis[tm]|"
        rf"sexis[tm]|"
        r"homophob\w+|transphob\w+|anti-?semit\w+|xenophob\w+|(?:neo-?)?nazi|white suprem\w+|islamophob\w+|inferior|"
        r"subhuman|misogyn\w+|hate (?:speech|group|crime)s?|stereotypes?|discriminat\w+|hatred)\b|\bethnic cleansing|"
        r"\bholocaust\b.{0,40}\b(?:hoax|deni|never|didn't)|(?:宣扬|鼓吹|煽动).{0,8}(?:种族|歧视|仇恨)",
    ),
    (
        Category.DECEPTION,
        rf"\b(?:{_MAKE}|spread\w*|publish\w*|generat\w*)\b.{{0,50}}\b(?:(?:fake|false) (?:news|information|rumou?rs?|"
        r"stor(?:y|ies))|disinformation|misinformation|propaganda|conspiracy|deep ?fakes?|defamatory)\b|"
        r"\bmanipulat\w* (?:people|public|someone|others|children)|(?:编造|散布|写).{0,6}(?:虚假新闻|假新闻|谣言)",
    ),
)
_COMPILED = tuple((category, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for category, pattern in _RULES)


def match_rules(text: str) -> Category | None:
    """The first category of the table whose rule `text` meets; None if none."""
    text = text.replace("’", "'")
    return next((category for category, pattern in _COMPILED if pattern.search(text)), None)
