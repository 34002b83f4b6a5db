//! Strategies that were chosen for all processes at once: what was chosen is in Postgres, and each
//! process follows it.
//!
//! A choice is a generation, stored in the transaction that moves the namespace's epoch. A process
//! hears of it at its start, when it hears of the epoch, and by asking every second. It *adopts* a
//! generation when its requests run under it; a generation is *settled* when all processes have
//! adopted it. Until then each of them goes on relaying what the namespace's changes are, also
//! where the new strategy has no use for them: for those that still run under the old one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use actix_web::web::Data;
use catalog_domain::{RepositoryError, View};
use catalog_repository::{PostgresCatalogue, translate};
use catalog_service::{Catalogue, NamespaceSettings};
use larder_postgres::{Choice, Choices, Process, Report, adopt_strategy, choose_strategy};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::app::State;

/// How often a process says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// … while a switch is not settled, so many times.
const EAGER_BEAT: Duration = Duration::from_millis(100);
const EAGER_BEATS: u32 = 100;
/// Who has not said so for this long is not waited for.
const LIFE: Duration = Duration::from_secs(5);
/// How often a switch looks whether it has settled.
const LOOK: Duration = Duration::from_millis(25);
/// How long a switch waits for all processes: longer than one that died is waited for.
const PATIENCE: Duration = Duration::from_secs(6);

/// What was chosen, and how far this process has followed.
pub(crate) struct Switching {
    choices: Choices,
    environment: String,
    configured: Vec<(View, NamespaceSettings)>,
    held: Mutex<Held>,
    /// What this process says of itself when it next says that it is there.
    report: SyncMutex<Option<String>>,
}

/// What this process runs under.
#[derive(Default)]
struct Held {
    adopted: u64,
    settled: u64,
    in_force: BTreeMap<&'static str, InForce>,
}

/// What a namespace runs under in this process.
#[derive(Clone)]
pub(crate) struct InForce {
    /// What was chosen, if anybody ever did.
    pub(crate) choice: Option<Choice>,
    /// Entries of an older epoch are ignored.
    epoch: u32,
    /// Whether it is what was chosen: this process's configuration may not allow it.
    pub(crate) usable: bool,
}

/// How far a switch has come.
pub(crate) struct Progress {
    pub(crate) generation: u64,
    /// Whether all processes run under it, and know that.
    pub(crate) complete: bool,
    pub(crate) processes: Vec<Process>,
}

impl Switching {
    /// For a process with the settings `configured`.
    pub(crate) fn new(
        choices: Choices,
        environment: &str,
        configured: Vec<(View, NamespaceSettings)>,
    ) -> Self {
        Self {
            choices,
            environment: environment.to_owned(),
            configured,
            held: Mutex::default(),
            report: SyncMutex::default(),
        }
    }

    /// The name of this process.
    pub(crate) fn process(&self) -> &str {
        self.choices.process()
    }

    /// What `view` is configured for.
    pub(crate) fn configured(&self, view: View) -> &NamespaceSettings {
        let found = self.configured.iter().find(|(known, _)| *known == view);
        &found.expect("every view is configured").1
    }

    /// What each namespace runs under.
    pub(crate) async fn in_force(&self) -> BTreeMap<&'static str, InForce> {
        self.held.lock().await.in_force.clone()
    }

    /// The processes that are there.
    pub(crate) async fn processes(&self) -> Result<Vec<Process>, RepositoryError> {
        self.choices.processes(LIFE).await.map_err(translate)
    }

    /// What this process says of itself from now on.
    pub(crate) fn say(&self, report: String) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    /// What the processes that are there say of themselves.
    pub(crate) async fn reports(&self) -> Result<Vec<Report>, RepositoryError> {
        self.choices.reports(LIFE).await.map_err(translate)
    }

    /// `chosen`, on what is configured for `view`; `None` for what is configured.
    ///
    /// # Errors
    ///
    /// The field that cannot be used, and why.
    pub(crate) fn settings(
        &self,
        view: View,
        chosen: Option<(&str, &str)>,
    ) -> Result<NamespaceSettings, (&'static str, String)> {
        let mut settings = self.configured(view).clone();
        if let Some((strategy, tiers)) = chosen {
            let unknown =
                |field| move |error: catalog_service::UnknownName| (field, error.to_string());
            settings.strategy = strategy.parse().map_err(unknown("strategy"))?;
            settings.tiers = tiers.parse().map_err(unknown("tiers"))?;
            settings.validate()?;
        }
        Ok(settings)
    }

    /// Chooses for all processes, and waits until all have followed, for `patience` at most.
    pub(crate) async fn switch(
        &self,
        catalogue: &Catalogue<PostgresCatalogue>,
        view: View,
        wanted: Option<(&str, &str)>,
        patience: Duration,
    ) -> Result<Progress, RepositoryError> {
        let db = catalogue.repository().database();
        let namespace = view.namespace();
        let chosen = choose_strategy(db, &self.environment, namespace, wanted).await;
        let chosen = chosen.map_err(translate)?;
        if let Some(coherence) = &catalogue.shared().coherence {
            // The others hear it from the feed, too, and in any case when they ask.
            coherence.raise_epoch(namespace, chosen.epoch).await;
        }
        let generation = chosen.generation;
        let until = Instant::now() + patience.min(PATIENCE);
        loop {
            self.follow(catalogue).await?;
            let processes = self.processes().await?;
            let complete = processes.iter().all(|process| process.settled >= generation);
            if complete || Instant::now() >= until {
                return Ok(Progress { generation, complete, processes });
            }
            sleep(LOOK).await;
        }
    }

    /// Says that this process is there, and adopts what was chosen meanwhile; whether everything
    /// is settled.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub(crate) async fn follow(
        &self,
        catalogue: &Catalogue<PostgresCatalogue>,
    ) -> Result<bool, RepositoryError> {
        let mut held = self.held.lock().await;
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        loop {
            let said = (held.adopted, held.settled);
            let heard = self.choices.follow(said.0, said.1, LIFE, report.as_deref()).await;
            let heard = heard.map_err(translate)?;
            held.settled = held.settled.max(heard.slowest.min(held.adopted));
            let mut newest = 0;
            let mut followed = true;
            for view in View::ALL {
                let state = heard.namespaces.iter().find(|it| it.namespace == view.namespace());
                let choice = state.and_then(|state| state.choice.as_ref());
                let generation = choice.map_or(0, |choice| choice.generation);
                newest = newest.max(generation);
                if let Some(coherence) = &catalogue.shared().coherence {
                    coherence.heed(view.namespace(), generation > held.settled);
                }
                let epoch = state.map_or(0, |state| state.epoch);
                followed &= self.adopt(catalogue, &mut held, view, (choice, epoch)).await?;
            }
            if followed {
                held.adopted = held.adopted.max(newest);
            }
            // The others are to hear at once how far this one is.
            if said == (held.adopted, held.settled) {
                return Ok(newest <= held.settled);
            }
        }
    }

    /// Puts in force what was chosen for `view`, unless it is; whether it can be used here.
    async fn adopt(
        &self,
        catalogue: &Catalogue<PostgresCatalogue>,
        held: &mut Held,
        view: View,
        (choice, epoch): (Option<&Choice>, u32),
    ) -> Result<bool, RepositoryError> {
        let namespace = view.namespace();
        let former = held.in_force.get(namespace);
        let known = former.is_some_and(|former| former.choice.as_ref() == choice);
        if let Some(former) = former.filter(|_| known) {
            // A barrier reaches by itself what is kept coherent.
            if catalogue.settings(view).strategy.is_told() || former.epoch >= epoch {
                return Ok(former.usable);
            }
        }
        let wanted = choice.and_then(|choice| choice.wanted.as_ref());
        let wanted = wanted.map(|(strategy, tiers)| (strategy.as_str(), tiers.as_str()));
        let (mut settings, usable) = match self.settings(view, wanted) {
            _ if known => (catalogue.settings(view), former.is_some_and(|former| former.usable)),
            Ok(settings) => (settings, true),
            Err((field, reason)) => {
                tracing::error!(namespace, field, reason, "what was chosen cannot be used here");
                (catalogue.settings(view), false)
            }
        };
        let db = catalogue.repository().database();
        let (strategy, tiers) = (settings.strategy, settings.tiers);
        let epoch = if known || (wanted.is_some() && usable) {
            epoch
        } else {
            // Nobody said for all what they run under, so this process says it for itself.
            let adopted = adopt_strategy(db, namespace, strategy.as_str()).await;
            adopted.map_err(translate)?
        };
        settings.options.floor_epoch = epoch;
        db.ledger().set_strategy(namespace, strategy.as_str());
        catalogue
            .switch(view, settings)
            .map_err(|error| RepositoryError::Internal(Box::new(error)))?;
        if former.is_some() && !known {
            tracing::info!(namespace, %strategy, %tiers, epoch, "strategy switched");
        }
        held.in_force.insert(namespace, InForce { choice: choice.cloned(), epoch, usable });
        Ok(usable)
    }
}

/// Follows what is chosen until `stopped`; then this process takes its leave.
pub(crate) async fn follow(state: Data<State>, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut pause = BEAT;
    let mut unsettled = 0;
    loop {
        let told = async {
            match &state.catalogue.shared().coherence {
                // Whether it was told or the time is up: it is asked.
                Some(coherence) => drop(timeout(pause, coherence.epoch_moved()).await),
                None => sleep(pause).await,
            }
        };
        tokio::select! {
            () = &mut stopped => break,
            () = told => {}
        }
        match state.switching.follow(&state.catalogue).await {
            Ok(true) => unsettled = 0,
            Ok(false) => unsettled += 1,
            Err(error) => {
                tracing::debug!(%error, "what was chosen cannot be asked for at present");
            }
        }
        pause = if (1..EAGER_BEATS).contains(&unsettled) { EAGER_BEAT } else { BEAT };
    }
    // Not while a question is on its way, which would say that the process is there again.
    if let Err(error) = state.switching.choices.leave().await {
        tracing::debug!(%error, "the others will wait for this process until they miss it");
    }
}
