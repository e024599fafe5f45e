"""The Chinese documents say what the English ones say, in the words that are used in Taiwan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate
from docs.languages import CATALOGUE, read

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAIRS = {page.name: (DOCS / page.name, page) for page in sorted((DOCS / "zh-TW").glob("*.md"))}
PAIRS["README.md"] = (ROOT / "README.en.md", ROOT / "README.md")
each_pair = pytest.mark.parametrize(("english", "chinese"), PAIRS.values(), ids=PAIRS)
each_page = pytest.mark.parametrize("page", [zh for _, zh in PAIRS.values()], ids=PAIRS)

# What is said in China, and what is said in Taiwan.
MAINLAND = {
    "軟件": "軟體",
    "硬件": "硬體",
    "信息": "資訊、訊息",
    "默認": "預設",
    "登錄頁": "登入頁",
    "登陸": "登入",
    "網絡": "網路",
    "服務器": "伺服器",
    "數據": "資料",
    "文檔": "文件",
    "用戶名": "使用者名稱",
    "賬": "帳",
    "字符": "字元",
    "緩存": "快取",
    "進程": "行程",
    "線程": "執行緒",
    "調用": "呼叫",
    "返回值": "回傳值",
    "接口": "介面",
    "鏈接": "連結",
    "支持": "支援",
    "質量": "品質",
    "視頻": "影片",
    "程序": "程式",
    "代碼庫": "程式庫",
    "配置": "設定",
    "刷新令牌": "更新權杖",
    "令牌": "權杖",
    "回調": "回呼",
    "證書": "憑證",
    "優化": "最佳化",
    "打印": "列印",
    "文件夾": "資料夾",
    "屏幕": "螢幕",
    "鼠標": "滑鼠",
    "二維碼": "QR Code",
    "身份證號": "身分證字號",
    "身份": "身分",
    "激活": "啟用",
    "通過以下": "以下列",
    "哈希": "雜湊",
    "域名": "網域名稱",
    "端口": "連接埠",
    "地址": "位址",
    "內存": "記憶體",
    "異步": "非同步",
    "日誌文件": "日誌檔",
    "命令行": "命令列",
    "響應": "回應",
    "運維": "維運",
    "部署環境變量": "環境變數",
    "變量": "變數",
    "函數庫": "函式庫",
    "函數": "函式",
}
FAIR = ("網域名稱", "任何程序")  # of those, what is said in Taiwan too
HAN = r"[㐀-鿿]"


def prose(page: Path) -> str:
    """A page without its code and without what is generated."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->", "", text, flags=re.S)


def fences(page: Path) -> list[str]:
    return re.findall(r"^ *```.*?^ *```$", page.read_text(encoding="utf-8"), re.M | re.S)


def tables(page: Path) -> list[int]:
    """How many columns each line of a table has."""
    return [line.count(" | ") for line in prose(page).splitlines() if line.startswith("|")]


@each_pair
def test_both_have_the_same_parts(english: Path, chinese: Path) -> None:
    """The same headings in the same order, the same lists and tables, the same generated tables."""
    for wanted in (r"^#+(?= )", r"^ *(?:-|\d\.)(?= )", r"generate\.\w+"):
        first, second = (
            re.findall(wanted, page.read_text(encoding="utf-8"), re.M)
            if "generate" in wanted
            else re.findall(wanted, prose(page), re.M)
            for page in (english, chinese)
        )
        assert first == second, wanted
    assert tables(english) == tables(chinese)


@each_pair
def test_both_have_the_same_code(english: Path, chinese: Path) -> None:
    """Whoever copies from either gets the same, character by character."""
    assert fences(english) == fences(chinese)


@each_pair
def test_both_name_the_same_things(english: Path, chinese: Path) -> None:
    """Settings, options, parameters, statuses: every name that is set as code is in both."""
    first, second = (
        {" ".join(name.split()) for name in re.findall(r"`[^`]+`", prose(page))}
        for page in (english, chinese)
    )
    assert first == second


@each_pair
def test_each_leads_to_the_other(english: Path, chinese: Path) -> None:
    """The first line below the title is the way to the other language."""
    for page, name, other in ((english, "中文", chinese), (chinese, "English", english)):
        line = page.read_text(encoding="utf-8").splitlines()[2]
        found = re.fullmatch(rf"\[{name}\]\((.+)\)", line)
        assert found and (page.parent / found[1]).resolve() == other


@each_page
def test_a_chinese_page_stays_in_chinese(page: Path) -> None:
    """A link goes to the Chinese page wherever there is one."""
    links = re.findall(r"(?<!English)\]\(([^):#]+\.md)", page.read_text(encoding="utf-8"))
    there = {(page.parent / link).resolve() for link in links}
    assert there & {english for english, _ in PAIRS.values()} == set()


def test_every_sentence_of_the_tables_is_translated() -> None:
    """Whoever adds an event, a metric, a command or a member adds its Chinese in tables.po; what
    nothing says any more is taken out."""
    say = read()
    made = re.findall(
        r"generate\.(\w+)\(CHINESE\)", "".join(p.read_text() for _, p in PAIRS.values())
    )
    assert len(made) >= 6
    for name in made:
        getattr(generate, name)(say)
    assert {s for s in say.asked if not say.known.get(s)} == set(), f"missing in {CATALOGUE.name}"
    assert set(say.known) - say.asked == set(), f"for nothing in {CATALOGUE.name}"


def chinese_texts() -> dict[str, str]:
    return {p.name: prose(p) for _, p in PAIRS.values()} | {
        CATALOGUE.name: "\n".join(read().known.values())
    }


@pytest.mark.parametrize("name", chinese_texts())
def test_the_words_are_those_of_taiwan(name: str) -> None:
    """No word that is said on the other side of the strait, no simplified character but in what
    WeCard itself says, 您 and never 你."""
    text = chinese_texts()[name].replace("腾讯微卡", "").replace("验证失败", "")
    for fair in FAIR:
        text = text.replace(fair, "")
    found = {word: said for word, said in MAINLAND.items() if word in text}
    assert found == {}
    assert "你" not in text
    assert re.findall(r"[们这为说认证网络请输录时间开关应该无数据]", text) == []


@pytest.mark.parametrize("name", chinese_texts())
def test_punctuation_is_full_width(name: str) -> None:
    """Between Chinese words stand ，。：；（）, and a blank where a Latin word begins."""
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", chinese_texts()[name])
    text = text.replace("使用Dongle驗證", "")  # a button of the ministry's
    assert re.findall(rf"{HAN}[,;:!?()]|[,;!?(]{HAN}", text) == []
    assert re.findall(rf"{HAN}[A-Za-z]\w*|\b[A-Za-z]+{HAN}", text) == []


def test_paragraphs_are_single_lines() -> None:
    """A line break inside a paragraph would become a blank between two Chinese words."""
    for _, page in PAIRS.values():
        assert re.findall(rf"{HAN}\n *{HAN}", prose(page)) == [], page.name
