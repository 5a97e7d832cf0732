"""Chinese of what the medical services say in English, as service_texts.py has finance's. Ignores labels."""
# ruff: noqa: E501  as in i18n.py

from __future__ import annotations

from collections.abc import Mapping

# fmt: off
TEXTS: Mapping[str, str] = {
    # --- urgency
    "Signed.": "已签署。",
    "Nothing urgent is known: first come, first read.": "未知有紧急情况：按到达先后阅片。",
    "The image is not diagnostic: it may have to be repeated.": "图像不可用于诊断：可能需要重新检查。",
    "Waiting for more than 24 hours.": "已等待超过 24 小时。",
    "{kind}: {presence} according to {who}.": "{kind}：{who}判为{presence}。",
    "a model": "模型",
    "the reader": "阅片者",
    "present": "存在",
    "uncertain": "不确定",
    # --- prior
    "No earlier study of this patient and body part is stored here.": "此处没有该患者同一部位的更早检查。",
    "The file does not state a body part to compare.": "文件未注明可比较的部位。",
    # --- spacing
    "Pixel Spacing: in the patient.": "像素间距：患者体内。",
    "Pixel Spacing as the file gives it; on a projection it holds only in the plane it was calibrated for.": "像素间距取自文件；对投影影像仅在其校准平面内有效。",
    "Imager Pixel Spacing: at the detector, not in the patient; distances are magnified.": "探测器像素间距：在探测器处而非患者体内；距离被放大。",
    "The file gives no spacing: distances cannot be measured on this image.": "文件未给出间距：无法在此图像上测量距离。",
    # --- remarks
    "no earlier study is at hand to compare with": "没有可比较的更早检查",
}
# fmt: on
