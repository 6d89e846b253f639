//! What a user may write where a NET is asked for, and what it resolves to.

use std::path::{Path, PathBuf};

use mnas_deploy::{Format, ModelFile, read_model};
use mnas_net::{Graph, NetSpec, Purpose, Shape, Weights, stream, zoo};

use mnas_study::OpenNetError;
use mnas_train::{Normalize, TrainedFacts, keys};

use crate::exit::{Blame, Blamed, CommandError, blame_of};

/// A network, with the weights and facts that came with it.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    /// What to call it.
    pub name: String,
    /// Its text.
    pub spec: NetSpec,
    /// Side of the square images it was made for, where its name says so.
    pub image_size: Option<usize>,
    /// Trained weights and their metadata.
    pub weights: Option<Weights>,
    /// What it was trained for, or, in a study, is to be trained for.
    pub facts: Option<TrainedFacts>,
}

impl Net {
    /// Resolves a zoo name, block lines, a file of block lines, a weights file of mnas, `DIR:TRIAL`
    /// or `DIR:best`.
    pub(crate) fn resolve(text: &str) -> Result<Self, CommandError> {
        if let Some((dir, name)) = study_reference(text) {
            return Self::of_study(&dir, name);
        }
        let path = Path::new(text);
        if path.is_file() {
            return if path.extension().is_some_and(|e| e == "safetensors") {
                Self::of_weights(path)
            } else {
                let lines = std::fs::read_to_string(path).blame(Blame::Data)?;
                Self::of_text(&path.display().to_string(), &lines)
            };
        }
        if text.contains("stem_") {
            return Self::of_text("given network", text);
        }
        let named = zoo::find(text).map_err(|e| {
            CommandError::new(Blame::Usage, e)
                .hint("give a name of `mnas zoo`, block lines, a file, DIR:TRIAL or DIR:best")
        })?;
        Ok(Self {
            name: named.name,
            spec: named.spec,
            image_size: Some(named.input),
            weights: None,
            facts: None,
        })
    }

    fn of_text(name: &str, lines: &str) -> Result<Self, CommandError> {
        let spec = lines.parse::<NetSpec>().map_err(|e| {
            let mut error = CommandError::new(Blame::Usage, e);
            error.message = format!("{name}: {}", error.message);
            error.hint("the block text is described in docs/reference/blocks.md")
        })?;
        Ok(Self {
            name: name.into(),
            spec,
            image_size: None,
            weights: None,
            facts: None,
        })
    }

    fn of_weights(path: &Path) -> Result<Self, CommandError> {
        let shown = path.display();
        let bytes = std::fs::read(path).blame(Blame::Data)?;
        let weights = Weights::from_safetensors(&bytes).map_err(|e| {
            CommandError::new(
                Blame::Data,
                anyhow::Error::new(e).context(format!("{shown}")),
            )
        })?;
        let Some(spec) = weights.metadata.get(keys::SPEC) else {
            let message = anyhow::anyhow!("{shown} has no network text ({})", keys::SPEC);
            return Err(CommandError::new(Blame::Data, message)
                .hint("only weights that mnas wrote name their network"));
        };
        let mut net = Self::of_text(&shown.to_string(), spec)?;
        net.facts = Some(TrainedFacts::read(&weights).blame(Blame::Data)?);
        net.weights = Some(weights);
        Ok(net)
    }

    fn of_study(dir: &Path, name: &str) -> Result<Self, CommandError> {
        let opened = mnas_study::open_net(dir, name).map_err(open_net_error)?;
        let facts = TrainedFacts {
            input: opened.data.input(),
            classes: opened.data.classes,
            normalize: opened.data.normalize,
        };
        let name = format!("{}:{}", dir.display(), opened.name);
        Ok(Self {
            name,
            spec: opened.spec,
            image_size: None,
            weights: opened.weights,
            facts: Some(facts),
        })
    }

    /// The graph at an input shape.
    pub(crate) fn graph(&self, input: Shape, classes: usize) -> Result<Graph, CommandError> {
        self.spec.graph(input, classes).blame(Blame::Usage)
    }

    /// Graph and weights ready to export or measure: trained ones where there are any, else seeded
    /// random ones at `image_size` (or the network's own, or 224) with `classes` classes.
    pub(crate) fn instance(
        &self,
        image_size: Option<usize>,
        classes: usize,
    ) -> Result<Instance, CommandError> {
        if let (Some(weights), Some(facts)) = (&self.weights, &self.facts) {
            let graph = self.graph(facts.input, facts.classes.len())?;
            weights.check(&graph).blame(Blame::Data)?;
            return Ok(Instance {
                graph,
                weights: weights.clone(),
                facts: Some(facts.clone()),
            });
        }
        let graph = match &self.facts {
            Some(facts) => self.graph(facts.input, facts.classes.len())?,
            None => {
                let side = image_size.or(self.image_size).unwrap_or(224);
                self.graph(Shape::new(side, side, 3), classes)?
            }
        };
        let weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
        Ok(Instance {
            graph,
            weights,
            facts: None,
        })
    }
}

/// Whether a path is a model file's, by its extension.
pub(crate) fn is_model(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| e.parse::<Format>().is_ok())
}

/// An exported file with what it says of itself.
pub(crate) struct Exported {
    /// The file.
    pub file: ModelFile,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// How images are normalised.
    pub normalize: Normalize,
}

impl Exported {
    /// Reads a file that `mnas export` wrote of a trained network.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        let bytes = std::fs::read(path)
            .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
            .blame(Blame::Data)?;
        let (file, meta) = read_model(bytes).blame(Blame::Data)?;
        let channels = file.input.c;
        if meta.normalize_mean.len() != channels || meta.normalize_std.len() != channels {
            let message =
                anyhow::anyhow!("{} doesn't say how images are normalised", path.display());
            return Err(CommandError::new(Blame::Data, message)
                .hint("export a trained network with `mnas export`"));
        }
        Ok(Self {
            file,
            classes: meta.classes,
            normalize: Normalize {
                mean: meta.normalize_mean,
                std: meta.normalize_std,
            },
        })
    }
}

/// A graph with weights.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// The graph.
    pub graph: Graph,
    /// Its weights.
    pub weights: Weights,
    /// Facts of the training, where the weights are trained.
    pub facts: Option<TrainedFacts>,
}

/// Splits `DIR:best` or `DIR:TRIAL` where DIR is a folder.
fn study_reference(text: &str) -> Option<(PathBuf, &str)> {
    let (dir, name) = text.rsplit_once(':')?;
    let dir = PathBuf::from(dir);
    dir.is_dir().then_some((dir, name))
}

fn open_net_error(error: OpenNetError) -> CommandError {
    let blame = match &error {
        OpenNetError::Study(e) => blame_of(e),
        OpenNetError::NoNet { .. } => Blame::Usage,
        OpenNetError::NothingDone | OpenNetError::Spec { .. } => Blame::Data,
        OpenNetError::Weights { .. } | OpenNetError::Io { .. } => Blame::Data,
    };
    CommandError::new(blame, error)
}
