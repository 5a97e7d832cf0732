"""The report page's own words in English and Chinese. Ignores what suites say of themselves: that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    "evaluation": ("Evaluation", "评估"),
    "attention_one": ("thing needs attention", "项需要查看"),
    "attention_many": ("things need attention", "项需要查看"),
    "nothing_measured": ("Nothing was measured: no suite gave figures", "没有任何测量：所有评估套件均未给出数字"),
    "first_run": ("First run: there is nothing to compare with yet", "首次运行：尚无可比较的结果"),
    "no_regressions": ("No regressions", "没有退步"),
    "run": ("run", "运行"),
    "judged": ("judged", "被评估的服务"),
    "compared_with": ("compared with", "比较对象"),
    "last": ("last run", "上次运行"),
    "week": ("a week ago", "一周前"),
    "baseline": ("pinned baseline", "固定基线"),
    "metrics_regressed": ("metrics regressed", "指标退步"),
    "metrics_improved": ("metrics improved", "指标进步"),
    "metrics_steady": ("metrics steady", "指标持平"),
    "metrics_not_compared": ("metrics not compared", "指标未比较"),
    "suites_failed": ("suites failed", "套件失败"),
    "suites_skipped": ("suites skipped", "套件跳过"),
    "needs_attention": ("Needs attention", "需要查看"),
    "metric": ("Metric", "指标"),
    "since": ("Since", "相比"),
    "then": ("Then", "当时"),
    "now": ("Now", "现在"),
    "change": ("Change", "变化"),
    "change_interval": ("95 % interval of the change", "变化的 95 % 区间"),
    "test": ("q (test)", "q（检验）"),
    "pairs": ("pairs", "对"),
    "intervals": ("intervals", "区间"),
    "is_gone": ("is gone: it was part of the last run", "已缺失：上次运行中有"),
    "legend_value": ("value and 95 % interval", "数值与 95 % 区间"),
    "legend_last": ("last run", "上次运行"),
    "legend_reference": ("the suite's own reference", "套件自带的对照"),
    "own_scale": ("each drawing has its own scale", "每幅图各有自己的刻度"),
    "failed": ("failed", "失败"),
    "skipped": ("skipped", "跳过"),
    "dataset": ("Data set", "数据集"),
    "split": ("Split", "划分"),
    "solver": ("Solver", "被测对象"),
    "scorer": ("Scorer", "评分"),
    "value": ("Value", "数值"),
    "interval": ("95 % interval", "95 % 区间"),
    "reference": ("Reference", "对照"),
    "trend": ("Trend", "趋势"),
    "none": ("none", "无"),
    "new": ("new", "新增"),
    "not_compared": ("not compared", "未比较"),
    "worse": ("worse", "变差"),
    "better": ("better", "变好"),
    "slices": ("Slices", "切片"),
    "slices_note": (
        "means of the examples that share a property; they are not tested, and small ones move by chance",
        "具有同一属性的样例的均值；未做检验，样例少时会随机波动",
    ),
    "examples_changed": ("examples scored otherwise than last time", "个样例的得分与上次不同"),
    "examples_shown": ("the worst first; personal data is masked", "最差的在前；个人数据已遮盖"),
    "before": ("Before", "之前"),
    "cost": ("Cost and speed", "成本与速度"),
    "suite": ("Suite", "套件"),
    "duration": ("Time", "用时"),
    "last_duration": ("Last time", "上次用时"),
    "cpu": ("Processor", "处理器"),
    "memory": ("Peak memory", "内存峰值"),
    "tokens": ("Tokens", "词元"),
    "rate": ("Examples a second", "每秒样例"),
    "how": ("How changes are judged.", "如何判断变化。"),
    "how_text": (
        "Where both runs scored the same examples and a metric is their mean, the examples' changes are tested in"
        " pairs (McNemar's exact test, else sign flips); elsewhere the interval of the change comes from both runs'"
        " intervals (Zou and Donner 2008), as if the runs were independent, which is cautious when they score the same"
        " cases. q corrects for the number of metrics compared with the same run (Benjamini and Hochberg 1995): a"
        " metric has changed when q is below .05, so among those called changed some 5 % are expected not to be. The"
        " last run and the pinned baseline raise alarms, last week does not. A failed suite, a lost suite and a lost"
        " metric count as well. ↑ higher is better, ↓ lower is better.",
        "若两次运行对同样的样例评分且指标为其均值，则逐对检验样例的变化（McNemar 精确检验，否则符号翻转）；"
        "其他情况下，变化的区间由两次运行的区间得出（Zou 与 Donner 2008），视两次运行为独立，样例相同时偏保守。"
        "q 按与同一次运行比较的指标数校正（Benjamini 与 Hochberg 1995）：q 小于 .05 即认为变化，"
        "因此被判为变化的指标中预期约 5 % 并未变化。上次运行和固定基线会触发告警，一周前的不会。"
        "失败或缺失的套件和指标同样计入。↑ 越高越好，↓ 越低越好。",
    ),
    "judged_together": ("Judged together", "一起判断的指标数"),
    "code": ("Code", "代码"),
    "code_unknown": ("version unknown (no git checkout)", "版本未知（没有 git）"),
    "machine": ("Machine", "机器"),
    "exit_code": ("Exit code", "退出码"),
}
