// The form that switches a namespace's strategy, for someone with an admin key.

const KEY = "larder-admin-key";
const by = (id) => document.getElementById(id);

function options(select, names) {
  // An open list would close.
  if (Array.from(select.options, ({ value }) => value).join() === names.join()) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) select.value = chosen;
}

// What an answer other than 200 means, in words.
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const fields = (problem.errors ?? []).map(({ field, message }) => `${field} ${message}`);
  const why = fields.join("; ") || problem.detail || response.statusText;
  switch (response.status) {
    case 401:
      return "The key was not accepted. Nothing was changed.";
    case 403:
      return "This key may not administer. Nothing was changed.";
    default:
      return `Not switched: ${why}`;
  }
}

// What was chosen, and whether all follow.
function outcome({ namespace, strategy, tiers, complete, late, warning }) {
  const chosen = `${strategy}${tiers === "none" ? "" : ` in ${tiers}`}`;
  const but = warning ? ` But ${warning}.` : "";
  if (complete) return `${namespace} now runs under ${chosen}.${but}`;
  const who = late?.length > 0 ? `${late.length} processes have not followed yet` : "this process has not followed yet";
  return `${namespace} is to run under ${chosen}: ${who}.${but}`;
}

export class Switch {
  // `switched` is called after each switch that was made.
  constructor(switched) {
    this.switched = switched;
    this.current = new Map();
    // Once somebody has chosen, what is in force no longer moves the choice.
    this.touched = false;
    by("key").value = sessionStorage.getItem(KEY) ?? "";
    by("forget").hidden = by("key").value === "";
    by("namespace").addEventListener("change", () => {
      this.touched = false;
      this.follow();
    });
    by("strategy").addEventListener("change", () => {
      this.touched = true;
      this.fit();
    });
    by("tiers").addEventListener("change", () => {
      this.touched = true;
    });
    by("forget").addEventListener("click", () => this.forget());
    by("switch").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  // What there is to choose from.
  offer({ strategies, tiers }) {
    options(by("strategy"), strategies);
    options(by("tiers"), tiers);
    this.fit();
  }

  // What is in force.
  inForce(periods) {
    this.current = new Map(periods.map((period) => [period.namespace, period]));
    options(by("namespace"), [...this.current.keys()]);
    this.follow();
  }

  follow() {
    const period = this.current.get(by("namespace").value);
    if (this.touched || !period) return;
    by("strategy").value = period.strategy;
    by("tiers").value = period.tiers;
    this.fit();
  }

  // `none` goes with no tiers, and nothing else does.
  fit() {
    const tiers = by("tiers");
    const none = by("strategy").value === "none";
    for (const option of tiers.options) option.disabled = (option.value === "none") !== none;
    if ((tiers.value === "none") !== none) tiers.value = none ? "none" : "l1+l2";
  }

  forget() {
    sessionStorage.removeItem(KEY);
    by("key").value = "";
    by("forget").hidden = true;
    this.say("The key is forgotten.", "done");
    by("key").focus();
  }

  say(text, state) {
    by("answer").textContent = text;
    by("answer").dataset.state = state;
  }

  async submit() {
    const button = by("switch").querySelector("[type=submit]");
    if (button.disabled) return;
    const [namespace, strategy, tiers, key] = ["namespace", "strategy", "tiers", "key"].map((id) => by(id).value.trim());
    const headers = { "Content-Type": "application/json" };
    if (key !== "") headers.Authorization = `Bearer ${key}`;
    button.disabled = true;
    this.say("Switching …", "wait");
    try {
      const body = JSON.stringify({ namespace, strategy, tiers });
      const response = await fetch("/admin/strategy", { method: "PUT", headers, body });
      if (response.ok) {
        if (key !== "") sessionStorage.setItem(KEY, key);
        by("forget").hidden = key === "";
        this.touched = false;
        this.say(outcome(await response.json()), "done");
        this.switched();
      } else {
        if (response.status === 401 || response.status === 403) sessionStorage.removeItem(KEY);
        this.say(await refusal(response), "refused");
      }
    } catch {
      this.say("The service does not answer. Whether it has switched is not known.", "refused");
    } finally {
      button.disabled = false;
    }
  }
}
