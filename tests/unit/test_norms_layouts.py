"""Published layouts: each is recognised from headers as published, and the table of docs/norms.md holds them all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.norms import EMOTIONS, LAYOUTS, TARGETS, check_norms, load_norms

ROOT = Path(__file__).parents[2]


def text(rows: list[list[str]], separator: str = ",") -> str:
    return "\n".join(separator.join(row) for row in rows) + "\n"


def planted(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


WARRINER = (
    ",Word,V.Mean.Sum,V.SD.Sum,V.Rat.Sum,A.Mean.Sum,A.SD.Sum,A.Rat.Sum,D.Mean.Sum,D.SD.Sum,D.Rat.Sum,V.Mean.M"
)
MOORS = [
    ["", "", "All", "", "", "", "", "", "", "", "", "Men", "", ""],
    [
        "Words",
        "Translation",
        "M V",
        "SD V",
        "N V",
        "M A",
        "SD A",
        "N A",
        "M P",
        "SD P",
        "N P",
        "M V",
        "SD V",
        "N V",
    ],
    ["blij", "glad", "6,1", "0,8", "64", "4,7", "1,1", "64", "4,9", "1", "64", "1,0", "9", "9"],
]
GLASGOW = [
    ["Words", "Length", "AROU", "", "", "VAL", "", "", "DOM", "", ""],
    ["", "", "M", "SD", "N", "M", "SD", "N", "M", "SD", "N"],
    ["abattoir", "8", "4.2", "2.4", "25", "2.864", "1.74", "22", "4.333", "1.285", "21"],
]
MONTEFINESE = (
    "anew_id,anew,translate_word_english,word_italian,N_valence_arousal_dominance,valence_mean,valence_sd,"
    "arousal_mean,arousal_sd,dominance_mean,dominance_sd"
)
PUBLISHED = {
    "en_warriner_2013": (
        f"{WARRINER}\n1,null,4.32,1.06,19,3.05,2.2,22,5,1.1,15,9\n",
        {
            "words": ("null",),
            "valence": 4.32,
            "arousal": 3.05,
            "dominance": 5,
            "n": 19,
            "scale": (1, 9),
            "language": "en",
        },
    ),
    "en_nrc_vad_v1": (
        "Word\tValence\tArousal\tDominance\naardvark\t0.427\t0.490\t0.437\n",
        {"words": ("aardvark",), "valence": 0.427, "dominance": 0.437, "scale": (0, 1), "language": "en"},
    ),
    "en_nrc_vad_v2": (
        "term\tvalence\tarousal\tdominance\na cappella\t0.281\t-0.1\t-0.02\n",
        {"words": ("a cappella",), "valence": 0.281, "arousal": -0.1, "scale": (-1, 1), "language": "en"},
    ),
    "en_glasgow_2019": (
        text(GLASGOW),
        {
            "words": ("abattoir",),
            "valence": 2.864,
            "arousal": 4.2,
            "n": 22,
            "scale": (1, 9),
            "language": "en",
        },
    ),
    "nl_moors_2013": (
        text(MOORS, ";"),
        {
            "words": ("blij",),
            "valence": 6.1,
            "arousal": 4.7,
            "dominance": 4.9,
            "n": 64,
            "scale": (1, 7),
            "language": "nl",
        },
    ),
    "de_bawl_r_2009": (
        "wordStem,wordClass,valence,arousal\nLIEBE,N,2.9,3.65\n",
        {"words": ("LIEBE",), "valence": 2.9, "arousal": 3.65, "scale": (-3, 3), "language": "de"},
    ),
    "zh_cvaw": (
        "No.\tWord\tValence_Mean\tArousal_Mean\tValence_SD\tArousal_SD\n1\t乏味\t3\t3.2\t0.6\t1.1\n",
        {"words": ("乏味",), "valence": 3, "arousal": 3.2, "scale": (1, 9), "language": "zh"},
    ),
    "it_montefinese_2014": (
        f"\ufeff{MONTEFINESE}\n1,abduction,abduction,rapimento,30,1.7,1.1,6.4,2.4,3,2\n",
        {"words": ("rapimento",), "valence": 1.7, "dominance": 3, "n": 30, "scale": (1, 9), "language": "it"},
    ),
    "es_redondo_2007": (
        "Number,E-Word,S-Word,Val-Mn-All,Val-Sd-All,Aro-Mn-All,Aro-Sd-All,Dom-Mn-All,Dom-Sd-All,Val-Mn-Fem\n"
        "1,abduction,abducción,1.64,1.2,7.4,1.5,2.6,1.9,9\n",
        {"words": ("abducción",), "valence": 1.64, "arousal": 7.4, "scale": (1, 9), "language": "es"},
    ),
    "en_anew": (
        "Word\tWdnum\tValMn\tValSD\tAroMn\tAroSD\tDomMn\tDomSD\nabuse\t1\t1.8\t1.2\t6.8\t2.7\t3.7\t2.9\n",
        {
            "words": ("abuse",),
            "valence": 1.8,
            "arousal": 6.8,
            "dominance": 3.7,
            "scale": (1, 9),
            "language": "en",
        },
    ),
    "de_angst_2014": (
        "G-word,E-word,VAL_Mean,VAL_SD,ARO_Mean_(BAWL),ARO_SD_(BAWL),ARO_Mean_(ANEW),ARO_SD_(ANEW),DOM_Mean,POT_Mean\n"
        "Liebe,love,2.8,0.4,3.9,1,6.5,2,5.5,1\n",
        {
            "words": ("Liebe",),
            "valence": 2.8,
            "arousal": 6.5,
            "dominance": 5.5,
            "scale": (-3, 3),
            "language": "de",
        },
    ),
    "zh_chan_tse_2024": (
        "word_chinese-gsd,word_chinese-gsds,valence_mean,valence_sd,arousal_mean,arousal_sd\n愛情,爱情,6,1,5,1\n",
        {
            "words": ("爱情",),
            "valence": 6,
            "arousal": 5,
            "scale": (1, 7),
            "language": "zh",
            "said": {"scale": (1, 7)},
        },
    ),
    "it_borsa_2025": (
        "word_italian,italian_code,valence_mean,valence_sd,arousal_mean,arousal_sd,sem_div_mean\nGIOIA,X,1.5,1,3,1,4\n",
        {"words": ("GIOIA",), "valence": 8.5, "arousal": 7, "scale": (1, 9), "language": "it"},
    ),
    "es_stadthagen_2017": (
        "Word,ValenceMean,ValenceSD,%ValenceRaters,ArousalMean,ArousalSD,%ArousalRaters\nabuela,8.05,1,100,4.5,2,100\n"
        "alegría,8.35,1,100,6.75,1,100\namistad,8.4,1,95,4.35,2,95\nabandono*,2.3,1,100,7,1,100\n",
        {
            "words": ("abuela", "alegría", "amistad", "abandono*"),
            "valence": 8.05,
            "arousal": 4.5,
            "scale": (1, 9),
            "language": "es",
        },
    ),
    "es_hinojosa_2016": (
        "Word,Val_Mn,Val_Sd,Ar_Mn,Ar_Sd,Hap_Mn,Hap_Sd,Ang_Mn,Sad_Mn,Fear_Mn,Disg_Mn\n"
        "abrazo,8.1,1,5.5,2,4.4,0.8,1.1,1.2,1,1.3\n",
        {
            "words": ("abrazo",),
            "valence": 8.1,
            "arousal": 5.5,
            "happiness": 4.4,
            "disgust": 1.3,
            "scale": (1, 9),
            "scales": {"happiness": (1, 5), "fear": (1, 5)},
            "language": "es",
        },
    ),
    "es_ferre_2017": (
        "Spanish_Word,English_Word,Hap_Mean,Hap_SD,Ang_Mean,Sad_Mean,Fear_Mean,Disg_Mean\n"
        "esperanza,hope,4.3,0.9,1.1,1.27,1.17,1.03\n",
        {
            "words": ("esperanza",),
            "happiness": 4.3,
            "anger": 1.1,
            "sadness": 1.27,
            "fear": 1.17,
            "disgust": 1.03,
            "scale": (1, 5),
            "language": "es",
        },
    ),
    "es_stadthagen_2018": (
        "Word,Valence_Mean,Arousal_Mean,Happiness_Mean,Happiness_SD,Anger_Mean,Sadness_Mean,Fear_Mean,Disgust_Mean\n"
        "abuela,8,4,4.1,1,1.1,2.1,1.2,1\nalegría,8,7,4.9,.2,1,1,1,1\namistad,8,4,4.6,.5,1,1.2,1,1\n"
        "abandono,2.3,5,1,.2,3,4,3,2\n",
        {
            "words": ("abuela", "alegría", "amistad", "abandono"),
            "valence": 8,
            "happiness": 4.1,
            "fear": 1.2,
            "scale": (1, 9),
            "scales": {"happiness": (1, 5)},
            "language": "es",
        },
    ),
    "en_stevenson_2007": (
        "word,mean_hap,sd_hap,mean_ang,sd_ang,mean_sad,mean_fear,mean_dis\nabduction,1.1,.4,3.2,1,2.8,4.1,2.5\n",
        {
            "words": ("abduction",),
            "happiness": 1.1,
            "anger": 3.2,
            "sadness": 2.8,
            "fear": 4.1,
            "disgust": 2.5,
            "scale": (1, 5),
            "language": "en",
        },
    ),
    "de_briesemeister_2011": (
        "WORD,WORD_LOWER,HAP_MEAN,HAP_SD,ANG_MEAN,SAD_MEAN,FEA_MEAN,DIS_MEAN\nLIEBE,liebe,4.6,.6,1.3,1.5,1.4,1.1\n",
        {
            "words": ("liebe",),
            "happiness": 4.6,
            "anger": 1.3,
            "sadness": 1.5,
            "fear": 1.4,
            "disgust": 1.1,
            "scale": (1, 5),
            "language": "de",
        },
    ),
    "pl_nawl_be_2015": (
        "NAWL_ID,NAWL_word,hap_M_all,hap_SD_all,ang_M_all,sad_M_all,fea_M_all,dis_M_all,hap_M_fem\n"
        "1,radość,6.5,.8,1.1,1.2,1.1,1,6.6\n",
        {
            "words": ("radość",),
            "happiness": 6.5,
            "anger": 1.1,
            "sadness": 1.2,
            "fear": 1.1,
            "disgust": 1,
            "scale": (1, 7),
            "language": "pl",
        },
    ),
    "pl_imbir_2016": (
        "No,polish word,English word,Valence_M,Valence_SD,arousal_M,arousal_SD,dominance_M\n1,aborcja,abortion,2.6,1,6.3,2,4\n",
        {
            "words": ("aborcja",),
            "valence": 2.6,
            "arousal": 6.3,
            "dominance": 4,
            "scale": (1, 9),
            "language": "pl",
        },
    ),
    "pl_nawl_2015": (
        "NAWL_ID,NAWL_word,NAWL_word_EN,val_M_all,val_SD_all,aro_M_all,val_M_fem,aro_M_fem\n1,radość,joy,2.5,.5,3.1,9,9\n",
        {"words": ("radość",), "valence": 2.5, "arousal": 3.1, "scale": (-3, 3), "language": "pl"},
    ),
    "pt_soares_2012": (
        "Number,E-Word,EP-Word,Val-M,Val-SD,Arou-M,Arou-SD,Dom-M,Dom-SD\n1,abduction,rapto,1.9,1,6.6,2,3,2\n",
        {
            "words": ("rapto",),
            "valence": 1.9,
            "arousal": 6.6,
            "dominance": 3,
            "scale": (1, 9),
            "language": "pt",
        },
    ),
    "el_palogiannidi_2016": (
        "English word,Greek word,Valence,Arousal,Dominance\njoy,χαρά,0.9,0.4,0.5\n",
        {"words": ("χαρά",), "valence": 0.9, "arousal": 0.4, "scale": (-1, 1), "language": "el"},
    ),
    "sv_davidson_2014": (
        "Ord\tValens\tArousal\nglädje\t8,1\t6,2\n",
        {
            "words": ("glädje",),
            "valence": 8.1,
            "arousal": 6.2,
            "scale": (1, 9),
            "language": "sv",
            "said": {"scale": (1, 9)},
        },
    ),
    "tr_kapucu_2018": (
        "Word;ValenceM;ValenceSD;ArousalM;ArousalSD;HappyM;DisgustM\nkorku;2,1;1;6,4;2;3;20\n",
        {
            "words": ("korku",),
            "valence": 2.1,
            "arousal": 6.4,
            "happiness": 3,
            "scale": (1, 9),
            "language": "tr",
            "said": {"scale": {"happiness": (0, 100), "disgust": (0, 100)}},
        },
    ),
    "id_sianipar_2016": (
        "Words (Indonesian),Translation,ALL_Valence_Mean,ALL_Valence_SD,ALL_Arousal_Mean,Male_Valence_Mean\ncinta,love,7.9,1,6,1\n",
        {"words": ("cinta",), "valence": 7.9, "arousal": 6, "scale": (1, 9), "language": "id"},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_are_recognised(tmp_path, name):
    content, expected = PUBLISHED[name]
    norms = load_norms(planted(tmp_path, content, "some file.txt"), **expected.get("said", {}))
    assert norms.name == name and norms.citation and not norms.redistributable
    assert norms.words == expected["words"] and norms.language == expected["language"]
    assert norms.scales[norms.targets[0]] == expected["scale"]
    for target in set(TARGETS) & set(expected):
        assert norms.ratings(target).iloc[0] == expected[target]
    assert expected.get("scales", {}).items() <= norms.scales.items()
    if "n" in expected:
        assert norms.table["valence_n"].tolist() == [expected["n"]]


def test_every_layout_known_by_its_columns_is_tested():
    assert {layout.name for layout in LAYOUTS if not layout.by_name} - {""} == set(PUBLISHED)


OTHERS = {
    "ANEW as printed": (
        "Description,Word No.,Valence Mean(SD),Arousal Mean(SD),Dominance Mean (SD),Word Frequency\n"
        "abduction,621,2.76 (2.06),5.53 (2.43),3.49 (2.38),1\n",
        {},
        ("en_anew", "abduction", 2.76, 5.53, 2.06),
    ),
    "BAWL-R workbook": (
        "WORD;WORD_LOWER;WORD_CLASS;EMO_MEAN;EMO_STD;AROUSAL_MEAN;AROUSAL_STD\nLIEBE;liebe;N;2,9;0,3;3,6;1\n",
        {},
        ("de_bawl_r_2009", "liebe", 2.9, 3.6, 0.3),
    ),
    "CVAW 2": (
        "No.,Word,Valence_Mean,Valence_SD,Arousal_Mean,Arousal_SD,Frequency\n1,乏味,3,0.6,3.2,1.1,5\n",
        {},
        ("zh_cvaw", "乏味", 3, 3.2, 0.6),
    ),
    "Montefinese workbook": (
        ";;;Valence;;Arousal;\nITA_ID;Eng_Word;Ita_Word;M_Val;SD_Val;M_Aro;SD_Aro\n1;sea;mare;7,5;1,2;4;2\n",
        {},
        ("it_montefinese_2014", "mare", 7.5, 4, 1.2),
    ),
    "LANG with its preamble": (
        "Leipzig Affective Norms\n\nKanske & Kotz\nnote one\nnote two\n\nword\tvalence_mean\tvalence_std\tarousal_mean\n"
        "Glück\t8.1\t1.1\t5.2\n" + "".join(f"Wort{c}\t5\t1\t5\n" for c in "abcdefgh"),
        {"layout": "de_lang_2010"},
        ("de_lang_2010", "Glück", 8.1, 5.2, 1.1),
    ),
    "French headers by name": (
        "Mots;Valence moyenne;Écart-type valence;Arousal moyenne;Valence moyenne hommes\nmer;7,5;1,2;4;1\n",
        {"layout": "fr_fan_2014"},
        ("fr_fan_2014", "mer", 7.5, 4, 1.2),
    ),
    "Chinese headers by name": (
        "序号,双字词,效价均值,效价标准差,唤醒度均值,唤醒度标准差\n1,高兴,7.5,1.2,6,2\n",
        {"layout": "zh_yao_2017"},
        ("zh_yao_2017", "高兴", 7.5, 6, 1.2),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_forms_of_published_files(tmp_path, kind):
    content, said, expected = OTHERS[kind]
    norms = load_norms(planted(tmp_path, content), **said)
    row = norms.table.iloc[0]
    assert (norms.name, *row[["word", "valence", "arousal", "valence_sd"]]) == expected


def test_an_unverified_layout_says_so(tmp_path):
    unseen = load_norms(planted(tmp_path, PUBLISHED["pl_nawl_2015"][0]))
    assert unseen.reading["verified"] is False and "layout unverified" in unseen.note
    assert "unverified layout" in set(check_norms(unseen)["problem"])
    seen = load_norms(planted(tmp_path, PUBLISHED["nl_moors_2013"][0]))
    assert seen.reading["verified"] is True and "unverified" not in seen.note
    tidy = load_norms(planted(tmp_path, "word,valence\njoy,8\n"), language="en", scale=(1, 9))
    assert tidy.reading["verified"] is True and tidy.reading["layout"] == "headers"


def test_headers_anyone_may_use_are_no_proof_of_a_spanish_set(tmp_path):
    path = planted(tmp_path, "Word,ValenceMean,ArousalMean\njoy,8,5\n")
    with pytest.raises(EmospaceError, match="on which scale"):
        load_norms(path, language="en")
    assert load_norms(path, language="en", scale=(1, 9)).name == "ratings"


def test_a_layout_of_another_language_does_not_fit(tmp_path):
    path = planted(tmp_path, PUBLISHED["es_hinojosa_2016"][0])
    assert load_norms(path, language="pt", scale=(1, 9)).name == "ratings"


def test_another_column_takes_its_own_scale(tmp_path):
    path = planted(tmp_path, PUBLISHED["de_angst_2014"][0])
    bawl = {"columns": {"arousal": "ARO_Mean_(BAWL)"}}
    with pytest.raises(EmospaceError, match=r"on which scale arousal was rated \(its ratings run from 3.9"):
        load_norms(path, **bawl)
    norms = load_norms(path, **bawl, scale={"arousal": (1, 5)})
    assert norms.scales == {"valence": (-3, 3), "arousal": (1, 5), "dominance": (1, 9)}
    assert norms.ratings("arousal").iloc[0] == 3.9


def test_the_table_of_layouts_in_the_docs_is_that_of_the_code():
    page = (ROOT / "docs" / "norms.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    table = {(row[0].strip("`"), row[1], row[2], row[3], row[4]) for row in rows if len(row) == 5}
    assert table == {
        (
            layout.name,
            layout.language,
            scale_text(layout.scale),
            "name" if layout.by_name else "columns",
            "yes" if layout.verified else "no",
        )
        for layout in LAYOUTS
        if layout.name
    }


def scale_text(scale) -> str:
    if scale is None:
        return "to be said"
    if isinstance(scale, dict):
        return ", ".join(f"{target} {low:g}..{high:g}" for target, (low, high) in scale.items())
    return f"{scale[0]:g}..{scale[1]:g}"


RAW = ROOT / "shared" / "data" / "norms"
RAW = RAW if RAW.is_dir() else ROOT.parent / "shared" / "data" / "norms"
SCALES = {
    "fi_soderholm_2013": (1, 7),
    "it_borelli_2018_pain": {"valence": (-3, 3), "arousal": (1, 7)},
    "it_falcinelli_2024": (1, 7),
    "ko_kim_2022": (-3, 3),
    "ko_park_min_2005": (1, 7),
    "ko_va_kor_merged": (-3, 3),
    "zh_yee_2017_cantonese": (1, 5),
}


@pytest.mark.skipif(not RAW.is_dir(), reason="the original files are not here")
@pytest.mark.parametrize("name", sorted(path.name for path in RAW.glob("*_*")) if RAW.is_dir() else [])
def test_original_files_read_as_the_bundled_sets(name):
    (path,) = [path for path in (RAW / name / "raw").iterdir() if path.suffix in (".csv", ".tsv", ".xlsx")]
    said = {} if name.startswith("en_") else {"language": name[:2], "scale": SCALES.get(name, (1, 9))}
    norms = load_norms(path, **said)
    if name == "en_warriner_2013":
        assert len(norms) == 13_915 and norms.name == name
        return
    bundled = load_norms(name)
    ours = norms.ratings("valence").rename(lambda word: word.casefold().rstrip("*†"))
    theirs = bundled.ratings("valence").rename(str.casefold)
    both = pd.DataFrame({"ours": ours[~ours.index.duplicated()], "theirs": theirs}).dropna()
    assert len(both) >= 0.98 * len(bundled)
    assert (both["ours"] - both["theirs"]).abs().max() < 0.01
    assert (norms.script, norms.targets) == (bundled.script, bundled.targets)


def test_two_scales_in_one_file(tmp_path):
    norms = load_norms(planted(tmp_path, PUBLISHED["de_bawl_r_2009"][0]))
    assert norms.scales == {"valence": (-3, 3), "arousal": (1, 5)}
    assert norms.unit("arousal").iloc[0] == pytest.approx(0.325)


def test_the_glasgow_file_of_one_header_row(tmp_path):
    header = "word_english,valence_mean,valence_sd,valence_n,gender_mean,size_mean,aoa_mean,familiar_mean"
    norms = load_norms(planted(tmp_path, f"{header}\nabbey,5.78,1.2,32,1,1,1,1\n"))
    assert (norms.name, norms.scales["valence"]) == ("en_glasgow_2019", (1, 9))


def test_the_word_column_named_after_its_language(tmp_path):
    rows = "CONCEPTICON_ID\tCONCEPTICON_GLOSS\tTURKISH\tTURKISH_VALENCE_MEAN\tTURKISH_VALENCE_SD\r\n1\tFEAR\tkorku\t2.1\t1\r\n"
    norms = load_norms(planted(tmp_path, rows), scale=(1, 9))
    assert (norms.words, norms.language, norms.targets) == (("korku",), "tr", ("valence",))
    norms = load_norms(
        planted(tmp_path, "word_italian,translate_word_english,valence_mean\nmare,sea,7\n"), scale=(1, 9)
    )
    assert (norms.words, norms.language) == (("mare",), "it")


def test_a_common_header_is_no_proof_of_a_set(tmp_path):
    path = planted(tmp_path, "Word,Valence,Arousal,Dominance\njoy,8.2,6,6\ngrief,1.7,5,3\n")
    with pytest.raises(EmospaceError, match=r"on which scale valence was rated.*scale=\(lowest, highest\)"):
        load_norms(path, language="en")
    assert load_norms(path, language="en", scale=(1, 9)).name == "ratings"


@pytest.mark.parametrize(
    "names",
    ["Happiness Anger Fear Sadness Disgust", "Freude Wut Angst Trauer Ekel", "快乐 愤怒 恐惧 悲伤 厌恶"],
)
def test_discrete_emotions_are_read_under_the_names_people_give_them(tmp_path, names):
    content = f"word,{','.join(names.split())},anger_rt\nstorm,1.2,3,4,2.5,1.5,600\n"
    norms = load_norms(planted(tmp_path, content), language="en", scale=(1, 5))
    assert norms.targets == EMOTIONS[:5]
    assert norms.table[list(EMOTIONS[:5])].iloc[0].tolist() == [1.2, 3, 4, 2.5, 1.5]


def test_norare_norms_of_discrete_emotions_are_read(tmp_path):
    content = "CONCEPTICON_ID\tSPANISH\tENGLISH\tSPANISH_HAPPINESS_MEAN\tSPANISH_ANGER_MEAN\n1092\tesperanza\thope\t4.3\t1.1\n"
    norms = load_norms(planted(tmp_path, content), scale=(1, 5))
    assert (norms.language, norms.words, norms.targets) == ("es", ("esperanza",), ("happiness", "anger"))
