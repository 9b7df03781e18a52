use super::*;
use crate::heat::{Proposal, StackKind};

fn file(text: &str) -> Layer {
    Layer::parse("my.toml".into(), text).unwrap()
}

fn of(text: &str) -> Recipe {
    Recipe::of(&[file(text)]).unwrap()
}

fn refused(text: &str) -> (RecipeErrorKind, String) {
    let error = Recipe::of(&[file(text)]).unwrap_err();
    (error.kind(), error.to_string())
}

fn set(text: &str) -> Layer {
    Layer::set(text).unwrap()
}

#[test]
fn every_preset_prints_a_recipe_that_gives_it_again() {
    for preset in Preset::ALL {
        let recipe = of(&format!("preset = \"{preset}\""));
        assert_eq!(recipe.heat, preset.constants());
        let printed = recipe.to_toml();
        assert_eq!(of(&printed), recipe);
        // The printed document stands alone: another preset under it changes nothing.
        let other = format!("preset = \"{}\"", Preset::ALL[(preset as usize + 1) % 4]);
        let heat = Recipe::of(&[file(&printed), set(&other)]).unwrap().heat;
        assert_eq!(heat, preset.constants());
    }
}

#[test]
fn a_printed_recipe_keeps_every_changed_value() {
    let changed =
        of("heads = [\"heat\", \"knn\"]\ncompose = \"lse:0.1=heat-el,knn\"\nalpha = 0.01\n\
                      seed = 9223372036854775807\ncomponents = 3\nstandardise = \"batch\"\n\
                      [heat-el]\nmilestones = []\nnoise = 0.30000000000000004");
    assert_eq!(of(&changed.to_toml()), changed);
    assert_eq!(changed.seed, i64::MAX as u64);
    assert_eq!(changed.heat[2].noise, 0.1 + 0.2);
    assert_eq!(changed.refined(), REFINED);
}

/// Section by section of the published configurations, where presets differ from each other.
#[test]
fn presets_are_the_published_constants() {
    let [gmm, std, el] = Preset::Cifar10.constants();
    assert_eq!((gmm.steps, std.steps, el.steps), (40, 1, 50));
    assert_eq!((gmm.l2, std.l2, el.l2), (10.0, 10.0, 0.1));
    assert_eq!((gmm.prior_temperature, el.prior_temperature), (1e3, 1.0));
    assert_eq!((gmm.batch, std.batch, el.batch), (1024, 1024, 256));
    let [gmm, std, el] = Preset::Cifar100.constants();
    assert_eq!(gmm, std);
    assert_eq!((gmm.step_size, gmm.noise, gmm.l2), (2e-4, 1e-3, 20.0));
    assert_eq!((el.steps, el.epochs, el.batch, el.l2), (200, 8, 1024, 1.0));
    let [gmm, std, el] = Preset::Imagenet.constants();
    assert_eq!((gmm.steps, std.steps, el.steps), (10, 0, 40));
    assert_eq!((gmm.step_size, std.step_size, el.step_size), (1e-7, 1e-4, 1e3));
    assert_eq!((gmm.l2, std.l2, el.l2), (10.0, 40.0, 20.0));
    assert_eq!((gmm.depth, el.depth, gmm.stack), (6, 4, StackKind::Tapering));
    assert_eq!((gmm.proposal, el.proposal), (Proposal::PriorTemperature, Proposal::Normal));
    assert_eq!((gmm.accumulate, el.accumulate), (20, 10));
}

#[test]
fn later_layers_win_key_by_key() {
    let mut flags = Layer::flags(vec![("alpha", 0.2.into()), ("preset", "imagenet".into())]);
    let mut layers = vec![
        file("preset = \"cifar100\"\nalpha = 0.1\nseed = 5\n[heat-gmm]\nsteps = 7\nl2 = 3"),
        set("heat-gmm.steps=8"),
        set("alpha = 0.3"),
    ];
    layers.append(&mut flags);
    let recipe = Recipe::of(&layers).unwrap();
    assert_eq!((recipe.alpha.get(), recipe.seed, recipe.preset), (0.2, 5, Preset::Imagenet));
    let [gmm, ..] = &recipe.heat;
    assert_eq!((gmm.steps, gmm.l2), (8, 3.0));
    assert_eq!(gmm.accumulate, 20, "the preset under all layers is the last one named");
}

#[test]
fn quotes_may_be_left_out_on_the_command_line() {
    let layers = [
        set("heat-gmm.stack=untied"),
        set("compose=max=gmm"),
        set("heads=gmm,el"),
        set("heat-el.milestones=[3, 6]"),
    ];
    let recipe = Recipe::of(&layers).unwrap();
    assert_eq!(recipe.heat[0].stack, StackKind::Untied);
    assert_eq!(recipe.heads, [HeadId::Gmm, HeadId::El]);
    assert_eq!(recipe.compose, Compose { rule: Rule::Max, heads: vec![HeadId::Gmm] });
    assert_eq!(recipe.heat[2].milestones, [3, 6]);
    for text in ["heat-gmm.steps", "=3", "heat-gmm.=3"] {
        let error = Layer::set(text).unwrap_err();
        assert_eq!(error.kind(), RecipeErrorKind::Syntax);
        assert!(error.to_string().contains("KEY=VALUE"), "{error}");
    }
}

#[test]
fn heat_stands_for_three_heads() {
    let recipe = of("heads = [\"gmm\", \"heat\"]\ncompose = \"sum=heat\"");
    assert_eq!(recipe.heads.len(), 4);
    assert_eq!(recipe.compose.heads, REFINED);
    let (kind, why) = refused("heads = [\"heat\", \"heat-el\"]");
    assert_eq!(kind, RecipeErrorKind::Value);
    assert!(why.contains("heat-el twice"), "{why}");
}

#[test]
fn unknown_keys_name_their_table_and_the_nearest_key() {
    for (text, parts) in [
        ("alfa = 0.1", ["my.toml", "`alfa`", "top level", "`alpha`"]),
        (
            "[heat-gmm]\nstep-siez = 1",
            ["my.toml", "`step-siez`", "[heat-gmm]", "`heat-gmm.step-size`"],
        ),
        ("steps = 3", ["my.toml", "`steps`", "top level", "`heat-gmm.steps`"]),
        ("[heat-el]\nseed = 3", ["my.toml", "`seed`", "[heat-el]", "`seed`"]),
        ("[heat-gmmm]\nsteps = 3", ["my.toml", "`heat-gmmm`", "top level", "`heat-gmm`"]),
        (
            "[heat-el]\nkeep_start = 3",
            ["my.toml", "`keep_start`", "[heat-el]", "`heat-el.keep-start`"],
        ),
        // Nothing that is near.
        ("version = 1", ["my.toml", "`version`", "top level", "prints all keys"]),
    ] {
        let (kind, why) = refused(text);
        assert_eq!(kind, RecipeErrorKind::Key, "{text}");
        for part in parts {
            assert!(why.contains(part), "{text}: {part} in {why}");
        }
    }
    let error = Recipe::of(&[set("heat-gmm.replays=1")]).unwrap_err();
    assert!(error.to_string().starts_with("--set heat-gmm.replays=1: "), "{error}");
    let error = Recipe::of(&[set("heat-gmm.steps.more=1")]).unwrap_err();
    assert!(error.to_string().contains("heat-gmm.steps"), "{error}");
}

#[test]
fn keys_of_mixtures_have_no_meaning_for_logits() {
    for key in ["prior = \"mixture\"", "batch-classes = false", "labelled-prior = true"] {
        let (kind, why) = refused(&format!("[heat-el]\n{key}"));
        assert_eq!(kind, RecipeErrorKind::Key);
        assert!(why.contains("no meaning"), "{why}");
    }
    let (_, why) = refused("[heat-el]\nproposal = \"prior\"");
    assert!(why.contains("heat-el.proposal") && why.contains("no mixture"), "{why}");
    let (_, why) = refused("[heat-el]\nnormalize = true");
    assert!(why.contains("heat-el.normalize = true"), "{why}");
}

#[test]
fn wrong_types_name_the_key_and_what_is_expected() {
    for (text, parts) in [
        ("alpha = \"small\"", ["alpha", "a number"]),
        ("seed = -1", ["seed", "a whole number"]),
        ("heads = 3", ["heads", "a list of names"]),
        ("components = \"many\"", ["components", "bic"]),
        ("components = 1.5", ["components", "text"]),
        ("standardise = \"none\"", ["standardise", "batch"]),
        ("preset = \"cifar\"", ["preset", "cifar10"]),
        ("heat-gmm = 3", ["heat-gmm", "a table"]),
        ("[heat-gmm]\nsteps = 1.5", ["heat-gmm.steps", "a whole number"]),
        ("[heat-gmm]\nrelu = 1", ["heat-gmm.relu", "true or false"]),
        ("[heat-gmm]\nstack = \"tide\"", ["heat-gmm.stack", "tapering"]),
        ("[heat-gmm]\nmilestones = 10", ["heat-gmm.milestones", "[10, 15]"]),
        ("[heat-gmm]\nmilestones = [1.5]", ["heat-gmm.milestones", "[10, 15]"]),
    ] {
        let (kind, why) = refused(text);
        assert!(matches!(kind, RecipeErrorKind::Type | RecipeErrorKind::Value), "{text}: {why}");
        assert!(why.starts_with("my.toml: ") && parts.iter().all(|p| why.contains(p)), "{why}");
    }
}

#[test]
fn values_out_of_range_name_the_key_and_the_layer() {
    for (key, value) in [
        ("temperature", "0"),
        ("temperature", "inf"),
        ("prior-temperature", "-1"),
        ("prior-temperature", "nan"),
        ("learning-rate", "0"),
        ("gamma", "0"),
        ("step-size", "-1e-9"),
        ("noise", "inf"),
        ("l2", "-1"),
        ("anneal", "1.01"),
        ("replay-restart", "-0.1"),
        ("beta1", "1"),
        ("beta2", "1.5"),
        ("epochs", "0"),
        ("batch", "0"),
        ("accumulate", "0"),
        ("hidden", "0"),
        ("hidden", "8193"),
        ("depth", "0"),
        ("depth", "63"),
        ("milestones", "[4, 4]"),
        ("milestones", "[0, 4]"),
        ("replay", "1023"),
    ] {
        let text = format!("heat-gmm.{key}={value}");
        let error = Recipe::of(&[set(&text)]).unwrap_err();
        assert_eq!(error.kind(), RecipeErrorKind::Value, "{text}");
        assert!(
            error.to_string().starts_with(&format!("--set {text}: heat-gmm.{key} = ")),
            "{error}"
        );
    }
    for text in
        ["alpha = 0", "alpha = 1", "coreset = 0", "neighbour = 0", "components = 0", "heads = []"]
    {
        let (kind, why) = refused(text);
        assert_eq!(kind, RecipeErrorKind::Value, "{why}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let (_, why) = refused("[heat-gmm]\nstack = \"tapering\"\nhidden = 24");
    assert!(why.contains("heat-gmm.hidden = 24") && why.contains("2^4"), "{why}");
    of("[heat-gmm]\nstack = \"tapering\"\nhidden = 48");
    let text = "preset = \"imagenet\"\n[heat-gmm-std]\nproposal = \"normal\"";
    let (_, why) = refused(text);
    assert!(why.starts_with("preset imagenet: heat-gmm-std.batch-classes = true"), "{why}");
    of(&format!("{text}\nbatch-classes = false\nlabelled-prior = false"));
    let (_, why) = refused("compose = \"sum=knn\"");
    assert!(why.contains("compose") && why.contains("knn"), "{why}");
}

#[test]
fn a_newer_recipe_says_so_before_its_keys_are_read() {
    let (kind, why) = refused("format = 2\nwarp = true");
    assert_eq!(kind, RecipeErrorKind::Format);
    assert!(why.contains("newer version") && why.contains("update oddsight-train"), "{why}");
    assert_eq!(refused("format = 0").0, RecipeErrorKind::Format);
    assert_eq!(refused("format = \"1\"").0, RecipeErrorKind::Format);
    of("format = 1");
}

#[test]
fn broken_toml_names_the_line() {
    let error = Layer::parse("my.toml".into(), "seed = 1\nalpha =\n").unwrap_err();
    assert_eq!(error.kind(), RecipeErrorKind::Syntax);
    assert!(error.to_string().starts_with("my.toml: line 2: "), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    let error = Layer::read(std::path::Path::new("nowhere.toml")).unwrap_err();
    assert_eq!(error.kind(), RecipeErrorKind::Read);
    assert!(error.to_string().contains("nowhere.toml"), "{error}");
}
