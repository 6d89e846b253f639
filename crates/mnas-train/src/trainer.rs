//! The training loop.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mnas_net::{Graph, Purpose, Shape, Weights, stream};
use serde::{Deserialize, Serialize};

use crate::evaluate::tally;
use crate::facts::{TrainedFacts, keys};
use crate::loader::{Loader, LoaderPlan};
use crate::{
    Engine, EngineError, Evaluation, Meta, Recipe, RecipeError, Session, SessionSpec, Split,
};
use checkpoint::Ledger;

mod checkpoint;
#[cfg(test)]
mod tests;

/// Points of a learning curve, besides those that evaluations add.
const POINTS: f64 = 10.0;
/// Time between checkpoints within an epoch.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// One training run.
pub struct TrainJob<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Images trained on.
    pub train: &'a Split,
    /// Images evaluated on at the end (and every [`Recipe::eval_every`] epochs).
    pub validation: Option<&'a Split>,
    /// Facts of the data set.
    pub meta: &'a Meta,
    /// How to train.
    pub recipe: &'a Recipe,
    /// Seed of the study; fixes order, augmentation and initial weights.
    pub seed: u64,
    /// Trial within the study; fixes initial weights and dropout. All trials of a seed see the
    /// same images in the same order.
    pub trial: u64,
    /// Threads of the engine.
    pub threads: usize,
    /// When the run isn't worth going on with.
    pub cut: Option<Cut>,
    /// Weights to start from; freshly drawn where absent.
    pub start: Option<&'a Weights>,
    /// File that keeps the run's state, so that a run with the same job continues from it.
    pub checkpoint: Option<&'a Path>,
}

/// Ends a run early where its loss is too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Point of the learning curve that is looked at, from 1; each is a tenth of the run where the
    /// recipe validates at its end only.
    pub point: usize,
    /// Greatest mean training loss since the point before that lets the run go on.
    pub loss_max: f64,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done.
    pub epoch: f64,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean training loss since the last curve point.
    pub loss: f64,
    /// Training images per second so far in this process.
    pub images_per_second: f64,
    /// Seconds left at this speed.
    pub eta_seconds: f64,
}

/// What the caller wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Write the checkpoint, if one was asked for, and return.
    Stop,
}

/// A point of the learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Epochs done.
    pub epoch: f64,
    /// Mean training loss since the point before.
    pub loss: f64,
    /// Validation accuracy, where evaluated here.
    pub accuracy: Option<f64>,
}

/// What a run hands back.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Weights for evaluation and export.
    pub weights: Weights,
    /// About ten points, the last at the end.
    pub curve: Vec<Point>,
    /// On the validation split; absent where there is none or the run was stopped or cut short.
    pub evaluation: Option<Evaluation>,
    /// Wall time, evaluations and the parts before a resume included.
    pub seconds: f64,
    /// Training speed of this process, evaluations not counted.
    pub images_per_second: f64,
    /// Memory held by the session.
    pub memory_bytes: u64,
    /// True where the caller stopped the run.
    pub stopped: bool,
    /// True where [`TrainJob::cut`] ended the run.
    pub cut_short: bool,
}

/// Why a network could not be trained or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss left the finite numbers.
    #[error(
        "training diverged at step {step} (epoch {epoch:.2}): the loss is not finite; a lower learning rate may help"
    )]
    Diverged {
        /// The first step whose loss was not finite; the first of a run is 1.
        step: u64,
        /// Epochs done before it.
        epoch: f64,
    },
    /// The engine failed for another reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A setting that can't be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A network for another image size.
    #[error("the network takes {network} images, the data set {data} has {images}")]
    Shape {
        /// The network's input.
        network: Shape,
        /// The data set's name.
        data: String,
        /// The data set's images.
        images: Shape,
    },
    /// A network with another number of answers.
    #[error("the network has {network} outputs, the data set {data} has {classes} classes")]
    Classes {
        /// The network's outputs.
        network: usize,
        /// The data set's name.
        data: String,
        /// The data set's classes.
        classes: usize,
    },
    /// An empty split.
    #[error("no images to work on: the split is empty")]
    NoImages,
    /// An answer that is not a number, outside training.
    #[error("the network's answer to image {image} is not finite: its weights are unusable")]
    NotFinite {
        /// Position of the image in the split.
        image: usize,
    },
    /// The system refused the loader's thread.
    #[error("could not start the thread that loads images: {error}")]
    Loader {
        /// The system's words.
        error: std::io::Error,
    },
    /// A checkpoint of another job.
    #[error(
        "{path}: the checkpoint belongs to another run (network, data, recipe, seed or trial differ); delete it to start afresh"
    )]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A checkpoint that can't be read.
    #[error("{path}: no valid checkpoint ({reason}); delete it to start afresh")]
    BadCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint could not be read or written.
    #[error("{path}: can't {action} the checkpoint: {error}")]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// Read or write.
        action: &'static str,
        /// The system's words.
        error: std::io::Error,
    },
}

/// Trains a network. Same job, engine and number of threads, same weights, also where the run was
/// interrupted and continued from its checkpoint.
///
/// The weights' metadata holds what their user needs: [`TrainedFacts`], and the data set's name and
/// fingerprint.
///
/// # Errors
/// [`TrainError`]; a diverged run is [`TrainError::Diverged`].
pub fn train(
    engine: &dyn Engine,
    job: &TrainJob,
    on_progress: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Trained, TrainError> {
    Run::start(engine, job)?.finish(on_progress)
}

/// Checks that network, data set and split belong together.
pub(crate) fn check_fit(graph: &Graph, meta: &Meta, split: &Split) -> Result<(), TrainError> {
    if split.is_empty() {
        return Err(TrainError::NoImages);
    }
    if graph.input_shape() != split.shape() {
        return Err(TrainError::Shape {
            network: graph.input_shape(),
            data: meta.name.clone(),
            images: split.shape(),
        });
    }
    let (outputs, classes) = (graph.output_shape().len(), meta.classes.len());
    if outputs != classes {
        return Err(TrainError::Classes {
            network: outputs,
            data: meta.name.clone(),
            classes,
        });
    }
    Ok(())
}

/// A run under way.
struct Run<'a> {
    job: &'a TrainJob<'a>,
    session: Box<dyn Session>,
    plan: LoaderPlan,
    ledger: Ledger,
    key: String,
    /// Steps of the whole run.
    steps: u64,
    started: Instant,
    /// Time in training steps, and images in them, in this process.
    busy: Duration,
    images: u64,
}

impl<'a> Run<'a> {
    fn start(engine: &dyn Engine, job: &'a TrainJob) -> Result<Self, TrainError> {
        let started = Instant::now();
        let recipe = job.recipe;
        recipe.check()?;
        check_fit(job.graph, job.meta, job.train)?;
        if let Some(validation) = job.validation {
            check_fit(job.graph, job.meta, validation)?;
        }
        let split = match recipe.train_images {
            Some(n) => job.train.subset(n, job.seed),
            None => job.train.clone(),
        };
        let mut session = engine.compile(job.graph, &session_spec(job, split.len()))?;
        let mean = job.meta.normalize.mean.iter();
        let plan = LoaderPlan {
            batch: recipe.batch.min(split.len()),
            augment: recipe.augment,
            mean: mean.map(|m| (m * 255.0).round() as u8).collect(),
            seed: job.seed,
            split,
        };
        let steps = (recipe.epochs * plan.steps_per_epoch() as f64).round();
        let mut key = String::new();
        let mut resumed = None;
        if let Some(path) = job.checkpoint {
            key = checkpoint::run_key(engine.name(), job);
            resumed = checkpoint::read(path, &key)?;
        }
        let ledger = match resumed {
            Some((state, ledger)) => {
                session.load_state(&state)?;
                ledger
            }
            None => {
                let fresh = || {
                    let mut random = stream(job.seed, job.trial, Purpose::Init);
                    Weights::init(job.graph, &mut random)
                };
                session.load(&job.start.cloned().unwrap_or_else(fresh))?;
                Ledger::default()
            }
        };
        Ok(Self {
            job,
            session,
            plan,
            ledger,
            key,
            steps: (steps as u64).max(1),
            started,
            busy: Duration::ZERO,
            images: 0,
        })
    }

    fn finish(
        mut self,
        on_progress: &mut dyn FnMut(&Progress) -> Control,
    ) -> Result<Trained, TrainError> {
        let mut loader = Loader::start(self.plan.clone(), self.ledger.step..self.steps)
            .map_err(|error| TrainError::Loader { error })?;
        let mut saved = Instant::now();
        while self.ledger.step < self.steps && !self.cut_short() {
            self.step(&mut loader)?;
            let last = self.ledger.step == self.steps;
            if !last && self.evaluation_due() {
                let accuracy = self.evaluate()?.map(|e| e.top1);
                self.point(accuracy);
            } else if !last && self.passes(self.steps as f64 / POINTS) {
                self.point(None);
            }
            let control = on_progress(&self.progress());
            let epoch_ends = self.ledger.step.is_multiple_of(self.plan.steps_per_epoch());
            if control == Control::Stop || epoch_ends || last || saved.elapsed() >= SAVE_EVERY {
                self.save()?;
                saved = Instant::now();
            }
            if control == Control::Stop {
                return Ok(self.trained(None, true));
            }
        }
        if self.cut_short() {
            return Ok(self.trained(None, false));
        }
        let evaluation = self.evaluate()?;
        self.point(evaluation.as_ref().map(|e| e.top1));
        Ok(self.trained(evaluation, false))
    }

    /// Whether the curve says that the run isn't worth going on with; the same after a resume.
    fn cut_short(&self) -> bool {
        let cut = self.job.cut.filter(|_| self.ledger.step < self.steps);
        cut.is_some_and(|cut| {
            let point = cut
                .point
                .checked_sub(1)
                .and_then(|i| self.ledger.curve.get(i));
            point.is_some_and(|p| p.loss > cut.loss_max)
        })
    }

    fn step(&mut self, loader: &mut Loader) -> Result<(), TrainError> {
        let begun = Instant::now();
        let recipe = self.job.recipe;
        let per_epoch = self.plan.steps_per_epoch() as f64;
        let run = self.steps as f64 / per_epoch;
        let factor = recipe.schedule.factor(self.epoch(), run);
        let rate = (f64::from(recipe.learning_rate) * factor) as f32;
        let batch = loader.next_batch();
        let stats = self.session.step(&batch.images, &batch.labels, rate);
        let loss = match stats {
            Ok(stats) if stats.loss.is_finite() => f64::from(stats.loss),
            Ok(_) | Err(EngineError::Diverged { .. }) => {
                return Err(TrainError::Diverged {
                    step: self.ledger.step + 1,
                    epoch: self.epoch(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        self.images += batch.labels.len() as u64;
        loader.recycle(batch);
        self.ledger.step += 1;
        self.ledger.loss_sum += loss;
        self.ledger.loss_steps += 1;
        self.busy += begun.elapsed();
        Ok(())
    }

    fn epoch(&self) -> f64 {
        self.ledger.step as f64 / self.plan.steps_per_epoch() as f64
    }

    /// Whether the last step reached or passed a multiple of `interval` steps.
    fn passes(&self, interval: f64) -> bool {
        let count = |step: u64| (step as f64 / interval).floor();
        count(self.ledger.step) > count(self.ledger.step - 1)
    }

    fn evaluation_due(&self) -> bool {
        let per_epoch = self.plan.steps_per_epoch() as f64;
        let every = self.job.recipe.eval_every;
        every.is_some_and(|epochs| self.passes(epochs * per_epoch))
    }

    fn evaluate(&mut self) -> Result<Option<Evaluation>, TrainError> {
        let Some(split) = self.job.validation else {
            return Ok(None);
        };
        let classes = self.job.meta.classes.len();
        match tally(&mut *self.session, split, self.plan.batch, classes) {
            // Losses were finite, but running statistics or averages are not.
            Err(TrainError::NotFinite { .. }) => Err(TrainError::Diverged {
                step: self.ledger.step,
                epoch: self.epoch(),
            }),
            done => done.map(Some),
        }
    }

    fn mean_loss(&self) -> f64 {
        match self.ledger.loss_steps {
            // Continued at the very end of a curve's segment.
            0 => self.ledger.curve.last().map_or(0.0, |p| p.loss),
            n => self.ledger.loss_sum / n as f64,
        }
    }

    fn point(&mut self, accuracy: Option<f64>) {
        let point = Point {
            epoch: self.epoch(),
            loss: self.mean_loss(),
            accuracy,
        };
        self.ledger.curve.push(point);
        self.ledger.loss_sum = 0.0;
        self.ledger.loss_steps = 0;
    }

    fn progress(&self) -> Progress {
        let (step, steps) = (self.ledger.step, self.steps);
        let left = (steps - step) as f64 * self.plan.batch as f64;
        Progress {
            epoch: self.epoch(),
            step,
            steps,
            loss: self.mean_loss(),
            images_per_second: self.speed(),
            eta_seconds: left / self.speed(),
        }
    }

    /// Images per second in this process; 0 where it took no step.
    fn speed(&self) -> f64 {
        self.images as f64 / self.busy.as_secs_f64().max(1e-9)
    }

    fn seconds(&self) -> f64 {
        self.ledger.seconds + self.started.elapsed().as_secs_f64()
    }

    fn save(&self) -> Result<(), TrainError> {
        let Some(path) = self.job.checkpoint else {
            return Ok(());
        };
        let ledger = Ledger {
            seconds: self.seconds(),
            ..self.ledger.clone()
        };
        checkpoint::write(path, &self.key, self.session.state(), &ledger)
    }

    fn trained(self, evaluation: Option<Evaluation>, stopped: bool) -> Trained {
        let cut_short = !stopped && self.cut_short();
        let meta = self.job.meta;
        let mut weights = self.session.weights();
        TrainedFacts::of(meta).write(&mut weights);
        let source = [
            (keys::DATA, meta.name.clone()),
            (keys::FINGERPRINT, meta.fingerprint.clone()),
        ];
        let source = source.map(|(key, value)| (key.to_string(), value));
        weights.metadata.extend(source);
        Trained {
            weights,
            evaluation,
            seconds: self.seconds(),
            images_per_second: self.speed(),
            memory_bytes: self.session.memory_bytes(),
            curve: self.ledger.curve,
            stopped,
            cut_short,
        }
    }
}

fn session_spec(job: &TrainJob, images: usize) -> SessionSpec {
    let recipe = job.recipe;
    SessionSpec {
        batch: recipe.batch.min(images),
        threads: job.threads,
        optimizer: recipe.optimizer,
        weight_decay: recipe.weight_decay,
        label_smoothing: recipe.label_smoothing,
        bn_momentum: recipe.bn_momentum,
        ema_decay: recipe.ema_decay,
        normalize: job.meta.normalize.clone(),
        storage: recipe.storage,
        seed: job.seed,
        trial: job.trial,
    }
}
