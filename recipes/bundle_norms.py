"""Build the bundled norms: ``python recipes/bundle_norms.py --data DATA``.

DATA holds MANIFEST.json and the normalised sets. Every redistributable set of valence and arousal goes into
src/emospace/data/norms as ``<name>.parquet`` (word, means, SD, rater counts) with its entry in ``index.toml``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from emospace.artefacts import file_hash, write_parquet, write_text
from emospace.norms import TARGETS, WordNorms, check_norms, norms_from_table

OUT = Path(__file__).parents[1] / "src" / "emospace" / "data" / "norms"

SCRIPTS = {"zh_liu_2021": "Hans", "zh_yee_2017_cantonese": "Hant"}
NOTES = {
    "zh_liu_2021": "four-character words and idioms only, rated by young and old adults; n of valence is also "
    "taken for arousal, the other count of the source (df_n) for dominance",
    "pl_imbir_2016_anpw_r": "a corrigendum (Front Psychol 2021 12:707540) corrected the published table; this copy "
    "predates it",
    "it_borsa_2025": "the source scale runs from positive and aroused to negative and calm; ratings here are "
    "10 minus the published ones",
    "ko_park_min_2005": "434 emotion words; asterisks that end words in the source are taken off",
    "ko_va_kor_merged": "four Korean sources merged and rescaled to -3..3, ko_park_min_2005 and ko_kim_2022 among "
    "them: not to be counted beside them",
}


def main() -> None:
    """Bundle every redistributable set of group A."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.json and norms/")
    data = parser.parse_args().data
    entries = []
    for record in json.loads((data / "MANIFEST.json").read_text(encoding="utf-8")):
        if record["group"] == "A" and record["redistributable"]:
            norms = read(data, record)
            write_parquet(OUT / f"{norms.name}.parquet", norms.table)
            entries.append(entry(data, record, norms))
            print(norms.name, len(norms), "words,", len(norms.rejected), "rejected")
            print(check_norms(norms).to_string(max_colwidth=70))
    head = "# Made by recipes/bundle_norms.py: what each bundled set is, where it is from and what was left out.\n"
    write_text(OUT / "index.toml", head + "".join(entries))


def read(data: Path, record: dict[str, Any]) -> WordNorms:
    """Return one set, checked by the same rules as a user's file."""
    name = record["name"]
    frame = pd.read_parquet(data / record["file"])
    frame["word"] = frame["word"].str.replace(r"[*†‡]+$", "", regex=True)
    if name == "zh_liu_2021":
        raw = pd.read_csv(next((data / record["folder"] / "raw").iterdir()), encoding="utf-8-sig")
        frame["valence_n"] = frame["arousal_n"] = frame["n"].astype(int)
        frame["dominance_n"] = raw.set_index("word_chinese")["df_n_all"].reindex(frame["word"]).to_numpy(int)
    kept = [target + suffix for target in TARGETS for suffix in ("", "_sd", "_n")]
    frame = frame[["word", *(column for column in kept if column in frame)]]
    scale = (record["scale_min"], record["scale_max"])
    arousal = (record.get("arousal_scale_min", scale[0]), record.get("arousal_scale_max", scale[1]))
    scales = {"valence": scale, "arousal": arousal, "dominance": scale}
    return whole(norms_from_table(frame, name, language=record["language"], scale=scales), frame)


def whole(norms: WordNorms, frame: pd.DataFrame) -> WordNorms:
    """Return a set with the words rated on every target alone; those left out are listed as rejected rows."""
    known = set(norms.words) - set(norms.complete().words)
    holes = [
        {"row": row, "word": word, "reason": f"no {target} rating"}
        for target in norms.targets
        for row, word, rating in zip(range(2, len(frame) + 2), frame["word"], frame[target], strict=True)
        if word in known and pd.isna(rating)
    ]
    rejected = pd.concat([norms.rejected, pd.DataFrame(holes, columns=norms.rejected.columns)])
    return replace(norms.complete(), rejected=rejected.drop_duplicates("row").sort_values("row"))


def entry(data: Path, record: dict[str, Any], norms: WordNorms) -> str:
    """Return the TOML entry of one set."""
    raw = next((data / record["folder"] / "raw").iterdir())
    fields: dict[str, Any] = {
        "language": norms.language,
        "words": len(norms),
        "rows": norms.reading["rows"],
        "merged": norms.reading["merged"],
        "sense_marked": int(norms.sense_marked.sum()),
        "scale_basis": record["scale_basis"],
        "licence": record["licence"],
        "citation": record["citation"],
        "note": NOTES.get(norms.name, record["note"]),
        "source": f"{record['source_repo']} {record['source_path']} at {record['source_commit'][:12]}",
        "source_sha256": file_hash(raw),
        "sha256": file_hash(OUT / f"{norms.name}.parquet"),
    }
    if norms.name in SCRIPTS:
        fields["script"] = SCRIPTS[norms.name]
    lines = [
        f"\n[{norms.name}]",
        *(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in fields.items()),
    ]
    scales = ", ".join(f"{target} = [{low:g}, {high:g}]" for target, (low, high) in norms.scales.items())
    lines.append(f"scales = {{ {scales} }}")
    if len(norms.rejected):
        rows = [
            f"    {{ row = {row}, word = {json.dumps(word, ensure_ascii=False)}, "
            f"reason = {json.dumps(reason, ensure_ascii=False)} }},"
            for row, word, reason in norms.rejected.itertuples(index=False)
        ]
        lines += ["rejected = [", *rows, "]"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
