#!/usr/bin/env python3
"""Make flux1_tokens.json.gz: what transformers makes of 1,000 prompts with FLUX.1's own tokenizers.

    pip install -r tests/reference/flux1_tokens_requirements.txt
    python tests/reference/make_flux1_tokens.py --from FLUX.1-dev --out tests/reference

--from is a folder with `tokenizer/` (vocab.json, merges.txt) and `tokenizer_2/` (tokenizer.json), as FLUX.1's repositories
have them. transformers 4: its CLIPTokenizerFast is converted from that vocab.json and merges.txt, while transformers 5
splits much non-ASCII text another way when it is pointed at such a folder.

The slow tokenizers are run beside them and the prompts on which they differ are counted. CLIP's slow one, with ftfy, first
repairs the text (full-width letters, ligatures, curly quotes, HTML's entities), writes a final sigma where Python's lower()
does, and knows special tokens in any case. T5's (sentencepiece) treats spaces beside special tokens in another way, and
breaks a tie in a long run of one digit otherwise. transformers 5 has no slow ones any more.

Prompts are drawn from the lists below with a fixed seed: the same file comes out each time.
"""
import argparse
import gzip
import json
import random
from pathlib import Path

import ftfy
from transformers import CLIPTokenizer, CLIPTokenizerFast, T5Tokenizer, T5TokenizerFast

COUNT = 1000

# A list of words for each script, and how its words are joined.
WORDS = {
    "English": ("a an the photo painting portrait fox cat mountain lake sunset cinematic lighting 85mm f/1.8 bokeh masterpiece "
                "8k ultra-detailed don't it's we'll they're I've I'd woman's close-up sci-fi o'clock oil watercolour of in with "
                "by under red blue Victorian NASA iPhone T-shirt 1990s 16:9 (best quality:1.2) [[fog]] {neon|dark} rock'n'roll "
                "hyperrealistic trending on ArtStation Unreal-Engine-5 ISO100 #ff8800 50% $20 A4 x264 C++ AT&T R&D", " "),
    "accents": ("naïve café façade Ångström crème brûlée jalapeño São Paulo Zürich Straße ẞ fjørd smörgåsbord İstanbul ışık "
                "çiçek źdźbło żółw príliš žluťoučký kůň árvíztűrő tükörfúrógép ŒUVRE œil ĳs Þór ðæl Việt Nam phở bánh mì "
                "Mañana niño pingüino à l'été où Noël Lyon's déjà-vu ñandú ț ș ă î", " "),
    "Cyrillic": ("кошка сидит на окне и смотрит снег зимний вечер портрет женщины в красном платье Москва ёлка объём подъезд "
                 "щука їжак Київ ґанок Београд њујорк ђак българин Ӹ қазақ", " "),
    "Greek": ("μια γάτα στο παράθυρο ηλιοβασίλεμα πάνω από τη θάλασσα Αθήνα ΟΔΥΣΣΕΥΣ ῥόδον ἄνθρωπος ΐ ΰ ς Σ", " "),
    "Chinese": ("一只 猫 坐在 窗台上 看着 外面 的 雪景 水墨画 风格 ， 高清 细节 。 麦橘 超然 少女 汉服 樱花 龍 鳳 臺灣 電影 感 光影 「」 《》 、 ！ ？", ""),
    "Japanese": ("窓辺に 座る 猫 、 雪 が 降る 夜 の 東京 タワー アニメ 風 ｱﾆﾒ が ガ ー 。 桜 着物 の 少女 ～ ・", ""),
    "Korean": ("창가에 앉은 고양이 눈 내리는 밤 서울 한복을 입은 소녀 벚꽃 수채화 ㅋㅋ 각 각", " "),
    "Arabic": ("قطة تجلس على النافذة في ليلة مثلجة لوحة زيتية ألوان دافئة ١٢٣ لا إله مُحَمَّد پیشی گربه اردو کتاب ؟ ،", " "),
    "Hebrew": ("חתול יושב על החלון בליל שלג ציור שמן שָׁלוֹם ירושלים צבעים חמים ״ ׳", " "),
    "Devanagari": ("खिड़की पर बैठी बिल्ली बर्फीली रात तैल चित्र नमस्ते क्ष त्र ज्ञ श्री १२३ हिन्दी ।", " "),
    "others": ("แมว นั่ง อยู่ ที่ หน้าต่าง கணினி பூனை విండో ಬೆಕ್ಕು പൂച്ച বিড়াল ਬਿੱਲੀ કાટ အမဲ ខ្មែរ ພາສາ ኢትዮጵያ ქართული հայերեն བོད་ ᏣᎳᎩ ⴰⵣ", " "),
    "emoji": ("🐱 🎨 🌅 👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️ ❤ 🇯🇵 👍🏽 ☀️ ⛄ 1️⃣ 🫠 © ® ™ ♥ ★ ☆ ♪ ✨ ☎︎", " "),
    "signs": ("!!! ... … — – - -- ' \" ’ “ ” „ « » ‹ › ( ) [ ] { } < > / \\ | @ # $ % ^ & * + = ~ ` _ __ ; : , . ? ¿ ¡ § ¶ † ° ± × ÷ "
              "≠ ≤ ∞ √ ∑ π µ Ω € £ ¥ ₹ ½ ¼ Ⅷ ² ₂ № ※ → ← ⇒ ─ █ :-) ^_^ ¯\\_(ツ)_/¯ a+b=c <b>x</b> &amp; &lt; 'tis '90s n't", " "),
    "compatibility": ("ＦＵＬＬ ｗｉｄｔｈ ﬁ ﬂ ﬀ ① ㊙ ㎏ ℃ ℌ 𝒜𝓁𝓁 𝟙𝟚 ᶠ ﷺ ﻻ ｶﾞ Å Å ñ ñ é é ạ̈ ạ̈", " "),
    "special": ("<|startoftext|> <|endoftext|> <|STARTOFTEXT|> <|EndOfText|> </s> <pad> <unk> <extra_id_0> <extra_id_99> <s> ▁ ▁▁a </w> "
                "[CLS] [SEP] <|im_start|>", " "),
    "numbers": ("0 1 42 1234567890 3.14159 1,000,000 -7 1e-5 0xFF 2024-01-31 12:34:56 192.168.0.1 ١٢ १२ 一二三 ４２ 1st 2nd 90° 4K 1080p", " "),
}
# What may stand between words instead of one space, and around a prompt.
SPACES = ["  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2003", "\u200b", "\u2028", "\u202f", "\ufeff", "\u00ad", "\u200d", "\v",
          "\f", "\x85", "\x00", "\x07", "\ufffd"]
FIXED = ["", " ", "\n", "\t \u3000 ", "a", "A", "!", "é", "猫", "🐱", "\u0301", "a\u0301", "\u200d", "</w>", "''''", "'s", "'S 'T 'LL", "\u00a0a\u00a0",
         "word" * 200, "!" * 300, "猫" * 300, "🐱" * 120, "a " * 700, "é" * 400, "x\u0301" * 100, " " * 500, "ab\n" * 90, "The " * 520,
         "1" * 250, "кот " * 300, "-" * 500 + "a"]


def prompt(random_):
    scripts = [random_.choice(list(WORDS)) for _ in range(random_.choice([1, 1, 1, 2, 3]))]
    length = random_.choice([1, 2, 4, 8, 8, 12, 16, 24, 40])
    if random_.random() < 0.02:
        length = 400
    text = ""
    for _ in range(length):
        words, joint = WORDS[random_.choice(scripts)]
        word = random_.choice(words.split())
        word = random_.choice([word] * 12 + [word.upper(), word.capitalize(), word[::-1], word + ",", word + "."])
        text += (random_.choice(SPACES) if random_.random() < 0.04 else joint) * bool(text) + word
    if random_.random() < 0.08:
        text = random_.choice(SPACES) + text + random_.choice(SPACES)
    return text


def prompts():
    random_ = random.Random(1)
    known = dict.fromkeys(FIXED)
    while len(known) < COUNT:
        known.setdefault(prompt(random_))
    return list(known)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    clip_folder, t5_folder = arguments.source / "tokenizer", arguments.source / "tokenizer_2"
    clip, slow_clip = CLIPTokenizerFast.from_pretrained(clip_folder), CLIPTokenizer.from_pretrained(clip_folder)
    t5, slow_t5 = T5TokenizerFast.from_pretrained(t5_folder), T5Tokenizer.from_pretrained(t5_folder)
    cases, repaired, other = [], 0, {"CLIP": [], "T5": []}
    for text in prompts():
        case = {"prompt": text, "clip": clip(text).input_ids, "t5": t5(text).input_ids}
        repaired += ftfy.fix_text(text) != text
        if slow_clip(text).input_ids != case["clip"]:
            other["CLIP"].append(text)
        if slow_t5(text).input_ids != case["t5"]:
            other["T5"].append(text)
        cases.append(case)
    print(f"{len(cases)} prompts; ftfy would repair {repaired}")
    for encoder, texts in other.items():
        print(f"{encoder}: the slow tokenizer differs on {len(texts)}")
    text = json.dumps(cases, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    path = arguments.out / "flux1_tokens.json.gz"
    path.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
