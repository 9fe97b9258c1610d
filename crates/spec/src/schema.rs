//! The JSON Schemas of sweep files, for editors, and of journals, for those who write a trainer: `scalelaw schema` prints them.

/// Draft-07, so that the common TOML and YAML editors understand it.
pub const SWEEP_SCHEMA: &str = include_str!("sweep.schema.json");

/// Of one line of a journal.
pub const JOURNAL_JSON_SCHEMA: &str = include_str!("journal.schema.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::SWEEP_SCHEMA;
    use crate::sweep::data::{BLOCK_KEYS, DATA_KEYS};
    use crate::sweep::finetune::FINETUNE_KEYS;
    use crate::sweep::read::{
        BUDGET_KEYS, GRID_KEYS, LR_KEYS, OVERRIDE_KEYS, POLICY_KEYS, RESOURCE_KEYS, SKIP_KEYS, SWEEP_KEYS, WHEN_KEYS,
    };
    use crate::sweep::search::{NOISE_KEYS, SEARCH_KEYS};
    use crate::sweep::slurm::SLURM_KEYS;
    use crate::sweep::train::{ADAMW_KEYS, RAND_AUGMENT_KEYS, SAM_KEYS, SCHEDULE_KEYS, TRAIN_KEYS};
    use crate::sweep::trainer::TRAINER_KEYS;
    use crate::sweep::{custom, nfnets, vits};

    /// The schema offers exactly the keys that the reader takes.
    #[track_caller]
    fn check(schema: &Value, place: &str, keys: &[&str]) {
        let table = schema.pointer(place).unwrap_or_else(|| panic!("{place} is not in the schema"));
        assert_eq!(table["additionalProperties"], false, "{place}");
        let mut offered: Vec<&str> =
            table["properties"].as_object().expect("a table").keys().map(String::as_str).collect();
        let mut taken = keys.to_vec();
        offered.sort_unstable();
        taken.sort_unstable();
        assert_eq!(offered, taken, "{place}");
    }

    #[test]
    fn the_schema_has_the_keys_of_the_reader() {
        let schema: Value = serde_json::from_str(SWEEP_SCHEMA).expect("JSON");
        check(&schema, "", &SWEEP_KEYS);
        check(&schema, "/definitions/data", &DATA_KEYS);
        check(&schema, "/definitions/data/properties/blocks", &BLOCK_KEYS);
        check(&schema, "/definitions/nfnets", &nfnets::MODEL_KEYS);
        check(&schema, "/definitions/nfnets/properties/sizes/items", &nfnets::SIZE_KEYS);
        check(&schema, "/definitions/vits", &vits::MODEL_KEYS);
        check(&schema, "/definitions/vits/properties/sizes/items", &vits::SIZE_KEYS);
        check(&schema, "/definitions/customs", &custom::MODEL_KEYS);
        check(&schema, "/definitions/customs/properties/sizes/items", &custom::SIZE_KEYS);
        check(&schema, "/properties/trainer", &TRAINER_KEYS);
        check(&schema, "/properties/grid", &GRID_KEYS);
        check(&schema, "/properties/search", &SEARCH_KEYS);
        check(&schema, "/properties/search/properties/noise", &NOISE_KEYS);
        check(&schema, "/definitions/train", &TRAIN_KEYS);
        check(&schema, "/definitions/train/properties/adamw", &ADAMW_KEYS);
        check(&schema, "/definitions/train/properties/schedule/oneOf/1", &SCHEDULE_KEYS);
        check(&schema, "/definitions/train/properties/sam", &SAM_KEYS);
        check(&schema, "/definitions/train/properties/rand_augment", &RAND_AUGMENT_KEYS);
        check(&schema, "/properties/finetune", &FINETUNE_KEYS);
        check(&schema, "/properties/resources", &RESOURCE_KEYS);
        check(&schema, "/properties/slurm", &SLURM_KEYS);
        check(&schema, "/properties/policy", &POLICY_KEYS);
        check(&schema, "/properties/budget", &BUDGET_KEYS);
        check(&schema, "/properties/override/items", &OVERRIDE_KEYS);
        check(&schema, "/properties/skip/items", &SKIP_KEYS);
        check(&schema, "/definitions/when", &WHEN_KEYS);
        check(&schema, "/definitions/lr/anyOf/1", &LR_KEYS);
    }
}
