"""The samples of a run: sides by patient, across manifests, and what is refused before training starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from medmtl.config import DataConfig
from medmtl.data.checks import check_files, check_labels
from medmtl.data.cohort import hold_out, read_cohort
from medmtl.data.manifest import Manifest
from medmtl.data.targets import IndexTarget, LabelClass, LabelTarget, MaskLayer, MaskTarget
from medmtl.errors import ConfigError, ImageError, ManifestError

HEADER = "image,patient,split,label:g,mask:v\n"


def manifest(folder: Path, name: str, *rows: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return folder / name


def config(*paths: Path, **settings: object) -> DataConfig:
    return DataConfig.model_validate({"manifests": list(paths), **settings})


def test_splits_as_given_and_rows_without_one_are_training_rows(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,1,train,0,", "b.png,2,,1,", "c.png,3,val,0,", "d.png,4,test,1,")
    cohort = read_cohort(config(path))
    assert [sample.id for sample in cohort.training] == ["a", "b"]
    assert [sample.id for sample in cohort.validation] == ["c"]
    assert cohort.manifest_hashes == {str(path): Manifest.read(path).content_hash}


def test_a_held_out_fifth_is_seeded_stratified_and_by_patient(tmp_path: Path):
    rows = [f"{patient}-{eye}.png,{patient},train,{patient % 2}," for patient in range(50) for eye in "LR"]
    path = manifest(tmp_path, "m.csv", *rows, "t.png,99,test,0,")
    cohort = read_cohort(config(path))
    again = read_cohort(config(path))
    other = read_cohort(config(path, validation_seed=1))
    assert cohort == again
    assert cohort.validation != other.validation
    sides = [{sample.patient for sample in side} for side in (cohort.training, cohort.validation)]
    assert not sides[0] & sides[1]
    assert (len(cohort.training), len(cohort.validation)) == (80, 20)
    assert sum(sample.labels["g"] == "1" for sample in cohort.validation) == 10
    assert not any(sample.patient == "99" for sample in cohort.training + cohort.validation)


def test_no_fraction_no_validation(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,1,train,0,", "b.png,2,train,1,")
    assert read_cohort(config(path, validation_fraction=0)).validation == ()


def test_every_data_set_gives_its_share(tmp_path: Path):
    one = manifest(tmp_path, "one.csv", *[f"a{i}.png,{i},train,0," for i in range(10)])
    two = manifest(tmp_path, "two.csv", *[f"b{i}.png,{i},train,0," for i in range(20)])
    held = read_cohort(config(one, two)).validation
    assert [sum(sample.dataset == name for sample in held) for name in ("one", "two")] == [2, 4]


def test_excluded_patients_are_out_and_a_misspelt_one_is_refused(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,p1,train,0,", "b.png,p2,train,1,", "c.png,p3,val,1,")
    assert [s.patient for s in read_cohort(config(path, exclude_patients=["p2"])).training] == ["p1"]
    with pytest.raises(ConfigError, match=r"data\.exclude_patients: no such patient; found 'q2'"):
        read_cohort(config(path, exclude_patients=["q2"]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.png,1,train,0,", "a.png,1,val,0,"),
        ("a.png,1,train,0,", "a.png,1,test,0,"),
        ("a.png,1,,0,", "a.png,1,val,0,"),
    ],
)
def test_an_image_on_two_sides_of_two_manifests(tmp_path: Path, first: str, second: str):
    one = manifest(tmp_path, "one.csv", first, "x.png,7,train,0,")
    two = manifest(tmp_path, "two.csv", second)
    with pytest.raises(ManifestError, match=r"two\.csv, line 2: the image 'a.png' is in two splits"):
        read_cohort(config(one, two))


def test_another_spelling_of_the_path_is_the_same_image(tmp_path: Path):
    one = manifest(tmp_path, "one.csv", "a.png,1,train,0,")
    two = manifest(tmp_path / "sub", "two.csv", "../a.png,1,val,0,")
    with pytest.raises(ManifestError, match="two splits"):
        read_cohort(config(one, two))


def test_a_patient_of_a_row_without_split_cannot_be_in_another(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,1,,0,", "b.png,1,test,0,")
    with pytest.raises(
        ManifestError, match=r"the patient '1' is in two splits.*a row without a split is a training row"
    ):
        read_cohort(config(path))


def test_a_patient_across_manifests_of_one_data_set(tmp_path: Path):
    (tmp_path / "one.csv").write_text("image,patient,dataset,split\na.png,1,d,train\n")
    (tmp_path / "two.csv").write_text("image,patient,dataset,split\nb.png,1,d,val\n")
    with pytest.raises(ManifestError, match="the patient '1' is in two splits"):
        read_cohort(config(tmp_path / "one.csv", tmp_path / "two.csv"))
    (tmp_path / "two.csv").write_text("image,patient,dataset,split\nb.png,1,e,val\n")
    assert len(read_cohort(config(tmp_path / "one.csv", tmp_path / "two.csv")).training) == 1


def test_holding_out_never_parts_an_image_that_stands_in_two_manifests(tmp_path: Path):
    """Another data set is another person, but the same file is the same image: refused where the draw parts it."""
    rows = [f"a{i}.png,{i},,0," for i in range(10)]
    one, two = manifest(tmp_path, "one.csv", *rows), manifest(tmp_path, "two.csv", *rows)
    outcomes = set()
    for seed in range(4):
        try:
            cohort = read_cohort(config(one, two, validation_seed=seed))
        except ManifestError:
            outcomes.add("refused")
        else:
            sides = [{sample.image for sample in side} for side in (cohort.training, cohort.validation)]
            assert not sides[0] & sides[1]
            outcomes.add("apart")
    assert outcomes


def test_manifest_twice_and_none(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,1,train,0,")
    with pytest.raises(ConfigError, match="given twice"):
        read_cohort(config(path, tmp_path / "." / "m.csv"))
    with pytest.raises(ConfigError, match="no manifest"):
        read_cohort(config())
    with pytest.raises(ConfigError, match=r"data\.train_split: no sample.*found train"):
        read_cohort(config(path, train_split="val"))


def test_hold_out_of_one_patient_keeps_training(tmp_path: Path):
    samples = Manifest.read(manifest(tmp_path, "m.csv", "a.png,1,train,0,")).samples
    assert hold_out(samples, 0.2, 0) == ([*samples], [])


def test_missing_files_are_counted_and_only_asked_columns_looked_at(tmp_path: Path):
    path = manifest(tmp_path, "m.csv", "a.png,1,train,0,a.png", "b.png,2,train,1,gone.png", "c.png,3,train,0,absent")
    for name in "abc":
        (tmp_path / f"{name}.png").touch()
    samples = Manifest.read(path).samples
    check_files(samples, [IndexTarget("t", "g", ("0", "1"))])
    mask = MaskTarget("t", (MaskLayer("v", "v"),))
    with pytest.raises(ImageError, match=r"m\.csv, line 3: the mask 'v' does not exist"):
        check_files(samples, [mask])
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"line 2: the image.*and 2 more are missing"):
        check_files(samples, [mask])


def test_labels_are_checked_on_both_sides(tmp_path: Path):
    samples = Manifest.read(
        manifest(tmp_path, "m.csv", "a.png,1,,0,", "b.png,2,,1,", "c.png,3,,,", "d.png,4,,7,")
    ).samples
    yes_no = LabelTarget("t", (LabelClass("t", "g"),))
    check_labels(samples[:3], [yes_no])
    with pytest.raises(ManifestError, match="line 5"):
        check_labels(samples[:3], [yes_no], samples[3:])
    with pytest.raises(ConfigError, match="'t' has not both answers"):
        check_labels(samples[:1], [yes_no])
    with pytest.raises(ConfigError, match="the class '1' is absent"):
        check_labels(samples[:1], [IndexTarget("t", "g", ("0", "1"))])
    with pytest.raises(ConfigError, match=r"no labelled training sample; fill the column label:h.*did you|known: g"):
        check_labels(samples[:3], [IndexTarget("t", "h", ("0", "1"))])


def test_further_manifests_are_learned_from_and_leave_out_who_is_held_out(tmp_path: Path):
    header = "image,patient,dataset,split,label:g\n"
    main, painted = tmp_path / "main.csv", tmp_path / "painted.csv"
    people = range(40)
    main.write_text(header + "".join(f"{i}.png,{i},d,{'test' if i < 5 else 'train'},{i % 2}\n" for i in people))
    rows = [f"p{i}-{k}.png,{i},d,{'val' if i % 10 == 9 else 'train'},1\n" for i in people for k in range(2)]
    painted.write_text(header + "".join(rows) + "x.png,3,other,,1\n")
    alone = read_cohort(config(main))
    cohort = read_cohort(config(main, training_manifests=[painted]))
    assert cohort.validation == alone.validation  # the same images select, with and without
    held_out = {sample.patient for sample in alone.validation}
    learned = [sample for sample in cohort.training if sample.manifest == painted]
    assert cohort.training[: len(alone.training)] == alone.training
    expected = [str(i) for i in people for _ in range(2) if i >= 5 and i % 10 != 9 and str(i) not in held_out]
    assert [sample.patient for sample in learned] == [*expected, "3"]  # the 3 of another data set is somebody else
    assert set(cohort.manifest_hashes) == {str(main), str(painted)}
    without = read_cohort(config(main, training_manifests=[painted], exclude_patients=[expected[0]]))
    assert expected[0] not in {sample.patient for sample in without.training}
    with pytest.raises(ConfigError, match="given twice"):
        read_cohort(config(main, training_manifests=[main]))
