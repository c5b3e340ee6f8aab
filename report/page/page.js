// What the page does: counts what is chosen, draws it, and says the same in the languages of filters.
// Texts of events come from whoever made the requests: they are set by textContent, and nothing is made of them.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const language = navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en";
  const NONE = 0, OTHERS = 1, FIRST = 2;
  const CUT = 1, LATE = 2, NO_ROWS = 4;
  const SHOWN = 10, MORE = 50;
  const HOUR = 3600, DAY = 86400;

  // ---- words

  function say(key, ...parts) {
    return WORDS[language][key].replace(/\{(\d)\}/g, (_, at) => parts[at]);
  }
  const plain = new Intl.NumberFormat(language);
  const number = (count) => plain.format(count);
  const share = (part, whole) => (whole ? ((100 * part) / whole).toFixed(1) : "0.0") + " %";
  function duration(seconds) {
    if (seconds % DAY === 0) return say("days", seconds / DAY);
    if (seconds % HOUR === 0) return say("hours", seconds / HOUR);
    if (seconds % 60 === 0) return say("minutes", seconds / 60);
    return say("seconds", seconds);
  }
  // Characters that show nothing, or that change how others are shown, as what they are.
  const visible = (text) =>
    text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu,
      (char) => "\\u{" + char.codePointAt(0).toString(16) + "}");

  // ---- elements

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (value === undefined || value === false) continue;
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== undefined));
    return element;
  }

  // ---- what was counted

  const dimensions = data.dimensions.map((dimension, at) => ({
    ...dimension,
    at,
    title: say(dimension.key),
    values: dimension.values.map(([text, events, first, last, flags]) => ({ text, events, first, last, flags })),
  }));
  const by = Object.fromEntries(dimensions.map((dimension) => [dimension.key, dimension]));
  const kinds = data.kinds.map((column) => Uint16Array.from(column));
  const count = data.cells.length;
  // A cell is the events of one kind and time.
  const cellKind = new Uint32Array(data.times.length);
  const cellTime = new Float64Array(data.times.length);
  const cellEvents = Float64Array.from(data.counts);
  for (let kind = 0, cell = 0; kind < count; kind += 1) {
    let time = data.from;
    for (let last = cell + data.cells[kind]; cell < last; cell += 1) {
      time += data.times[cell];
      cellKind[cell] = kind;
      cellTime[cell] = time * data.width;
    }
  }
  // All events by time and outcome, as fine as or finer than cells are.
  const timeline = { width: data.timeline.width, cells: [] };
  for (let cell = 0, time = 0; cell < data.timeline.times.length; cell += 1) {
    time += data.timeline.times[cell];
    timeline.cells.push({ time: time * timeline.width, outcome: data.timeline.outcomes[cell], events: data.timeline.events[cell] });
  }
  const code = (dimension, text) => {
    const at = dimension.values.findIndex((value) => value.text === text);
    return at < 0 ? -1 : at + FIRST;
  };
  const TRUE = Object.fromEntries(["console", "failed", "readonly", "mfa"].map((key) => [key, code(by[key], "true")]));
  const FALSE = Object.fromEntries(["console", "failed", "readonly", "mfa"].map((key) => [key, code(by[key], "false")]));

  function label(dimension, code) {
    if (code === NONE) return say(dimension.key === "outcome" ? "fine" : "none");
    if (code === OTHERS) return say("others");
    const value = dimension.values[code - FIRST];
    // A value that reads as the page's own words do stands in quotes.
    if (["none", "others", "fine", "empty"].some((word) => value.text === say(word))) return `"${value.text}"`;
    return (visible(value.text) || say("empty")) + (value.flags & CUT ? "…" : "");
  }
  const brief = (text) => (text.length > 30 ? text.slice(0, 29) + "…" : text);

  // ---- what is chosen

  const chosen = dimensions.map(() => new Set());
  let range = null; // seconds, the end not in it
  let hours = new Set(); // weekday * 24 + hour, in the zone
  const browserZone = -new Date().getTimezoneOffset();
  let zone = 0; // minutes east of UTC

  const local = (time) => time + zone * 60;
  const weekHour = (time) => Math.floor(local(time) / HOUR) + 3 * 24; // the epoch was a Thursday
  const hourOf = (time) => ((weekHour(time) % 168) + 168) % 168;
  // Whether cells tell the hours of this zone apart.
  const knowsHours = () => data.width <= HOUR && (zone * 60) % data.width === 0;

  const two = (value) => String(value).padStart(2, "0");
  function moment(time, ofSeconds = false) {
    if (time === null || time === undefined) return "";
    const date = new Date(local(time) * 1000);
    if (Number.isNaN(date.getTime())) return String(time);
    const day = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
    const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
    return `${day} ${clock}${ofSeconds ? ":" + two(date.getUTCSeconds()) : ""}`;
  }
  const zoneName = (minutes) => {
    const size = Math.abs(minutes);
    return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  };
  const weekday = new Intl.DateTimeFormat(language, { weekday: "short", timeZone: "UTC" });
  const weekdays = [0, 1, 2, 3, 4, 5, 6].map((day) => weekday.format(new Date(Date.UTC(2024, 0, 1 + day))));

  // Sums of what is chosen. A chart's own choice does not narrow the chart itself.
  function summed() {
    const active = dimensions.filter((dimension) => chosen[dimension.at].size > 0);
    const failing = new Int8Array(count); // the dimensions that a kind does not fit
    const failed = new Int8Array(count).fill(-1); // the last of them
    for (const { at } of active) {
      const column = kinds[at];
      const codes = chosen[at];
      for (let kind = 0; kind < count; kind += 1) {
        if (!codes.has(column[kind])) {
          failing[kind] += 1;
          failed[kind] = at;
        }
      }
    }
    const inRange = (cell) => !range || (cellTime[cell] >= range.from && cellTime[cell] < range.to);
    const inHours = (cell) => hours.size === 0 || hours.has(hourOf(cellTime[cell]));
    const events = new Float64Array(count);
    const first = new Float64Array(count).fill(Infinity);
    const last = new Float64Array(count).fill(-Infinity);
    const overTime = [], overWeek = []; // cells
    for (let cell = 0; cell < cellKind.length; cell += 1) {
      const kind = cellKind[cell];
      if (failing[kind] > 1) continue;
      const range = inRange(cell), hour = inHours(cell);
      if (range && hour) {
        events[kind] += cellEvents[cell];
        if (cellTime[cell] < first[kind]) first[kind] = cellTime[cell];
        if (cellTime[cell] > last[kind]) last[kind] = cellTime[cell];
      }
      if (failing[kind] === 0) {
        if (hour) overTime.push(cell);
        if (range) overWeek.push(cell);
      }
    }
    const isTimed = range !== null || hours.size > 0;
    if (!isTimed) for (let kind = 0; kind < count; kind += 1) events[kind] += data.timeless[kind];
    const counts = dimensions.map((dimension) => new Float64Array(dimension.values.length + FIRST));
    const fits = []; // kinds
    let total = 0;
    for (let kind = 0; kind < count; kind += 1) {
      if (events[kind] === 0) continue;
      if (failing[kind] === 0) {
        total += events[kind];
        fits.push(kind);
        for (let at = 0; at < dimensions.length; at += 1) counts[at][kinds[at][kind]] += events[kind];
      } else if (failing[kind] === 1) {
        counts[failed[kind]][kinds[failed[kind]][kind]] += events[kind];
      }
    }
    const isAll = active.length === 0 && !isTimed;
    // Without a choice the lists tell more than the kinds do.
    if (isAll) {
      for (const { at, values, none, others } of dimensions) {
        counts[at][NONE] = none;
        counts[at][OTHERS] = others;
        values.forEach((value, place) => (counts[at][place + FIRST] = value.events));
      }
    }
    return { isAll, total, events, counts, fits, first, last, overTime, overWeek };
  }

  function toggle(at, code) {
    if (!chosen[at].delete(code)) chosen[at].add(code);
    draw();
  }

  // ---- the same in other languages

  const quotedForStratoshark = (text) =>
    '"' + text.replace(/["\\]/g, "\\$&").replace(/[\u0000-\u001f\u007f]/g, (char) => "\\x" + two(char.charCodeAt(0).toString(16))) + '"';
  const escapes = { "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const quotedForSysdig = (text) => '"' + text.replace(/["\\]/g, "\\$&").replace(/[\b\f\n\r\t]/g, (char) => escapes[char]) + '"';

  function stratosharkOf({ field }, value) {
    if (!value) return `!${field}`;
    return `${field} ${value.flags & CUT ? "contains" : "=="} ${quotedForStratoshark(value.text)}`;
  }
  function sysdigOf({ field, key }, value, notes) {
    if (key === "rule") {
      notes.add("ruleNote");
      return `(${data.rules.find((rule) => rule.name === value.text).condition})`;
    }
    if (!value) return `not ${field} exists`;
    if (value.text.endsWith("\\")) {
      notes.add("endsNote");
      return `${field} startswith ${quotedForSysdig(value.text.replace(/\\+$/, ""))}`;
    }
    return `${field} ${value.flags & CUT ? "startswith" : "="} ${quotedForSysdig(value.text)}`;
  }
  // The times of the hours that are chosen, those that follow each other as one; null where they are too many.
  function spans() {
    const found = [];
    const from = Math.floor(Math.max(data.first, range ? range.from : -Infinity) / HOUR);
    const to = Math.floor(Math.min(data.last, range ? range.to - 1 : Infinity) / HOUR);
    if (to - from > 24 * 400) return null;
    const shift = (zone * 60) % HOUR;
    for (let at = from - 1; at <= to + 1; at += 1) {
      const begin = at * HOUR - shift;
      if (!hours.has(hourOf(begin))) continue;
      const last = found.at(-1);
      if (last && last.to === begin) last.to = begin + HOUR;
      else found.push({ from: begin, to: begin + HOUR });
    }
    return found.length <= 40 ? found : null;
  }
  function conditions() {
    const stratoshark = [], sysdig = [], notes = new Set();
    const joined = (parts, word) => (parts.length > 1 ? `(${parts.join(` ${word} `)})` : parts[0]);
    for (const dimension of dimensions) {
      const codes = [...chosen[dimension.at]].sort((one, other) => one - other);
      if (codes.length === 0) continue;
      const values = codes.map((code) => dimension.values[code - FIRST]);
      if (values.some((value) => value && value.flags & CUT)) notes.add("cutNote");
      if (dimension.key === "mfa" && chosen[by.signin.at].size === 0) {
        stratoshark.push(by.signin.field);
        sysdig.push(`${by.signin.field} exists`);
      }
      if (dimension.key === "rule") notes.add("noFilter");
      else stratoshark.push(joined(values.map((value) => stratosharkOf(dimension, value)), "||"));
      sysdig.push(joined(values.map((value) => sysdigOf(dimension, value, notes)), "or"));
    }
    let times = range ? [range] : null;
    if (hours.size > 0) {
      const found = spans();
      if (found) {
        times = found.map(({ from, to }) => ({ from: Math.max(from, range?.from ?? from), to: Math.min(to, range?.to ?? to) }))
          .filter(({ from, to }) => from < to);
      } else notes.add("hoursNote");
    }
    if (times?.length === 0) {
      stratoshark.push("frame.number == 0");
      sysdig.push("evt.num = 0");
      notes.add("noHours").add("timeNote");
    } else if (times) {
      const iso = (time) => new Date(time * 1000).toISOString().replace(".000", "");
      const nanoseconds = (time) => String(time) + "000000000";
      stratoshark.push(joined(times.map(({ from, to }) => `(frame.time >= "${iso(from)}" && frame.time < "${iso(to)}")`), "||"));
      sysdig.push(joined(times.map(({ from, to }) => `(evt.rawtime >= ${nanoseconds(from)} and evt.rawtime < ${nanoseconds(to)})`), "or"));
      notes.add("timeNote");
    }
    return { stratoshark: stratoshark.join(" && "), sysdig: sysdig.join(" and "), notes };
  }

  // ---- copying

  const status = make("p", { role: "status", class: "hidden" });
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = say("copied");
    } catch {
      const area = make("textarea", { readonly: true, "aria-label": say("copy") });
      area.value = text;
      const dialog = make("dialog", { "aria-label": say("copy") },
        make("p", { text: say("notCopied") }), area,
        make("form", { method: "dialog" }, make("button", { text: say("close") })));
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
      area.select();
    }
  }
  // A spreadsheet takes what begins like a formula for one: an apostrophe in front makes it a text.
  function csvCell(value) {
    if (typeof value === "number") return String(value);
    const harmless = /^[\s\u0000-\u001f]*[=+\-@|%＝＋－＠]|^[\t\r\n]/.test(value) ? "'" + value : value;
    return '"' + harmless.replace(/"/g, '""') + '"';
  }
  const csv = (rows) => rows.map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";

  // ---- lists

  // A panel with a table that sorts, finds, and is copied. Columns: key, title, cell(row) for the element, text(row) for
  // copying, order(row) to sort by.
  class List {
    constructor({ id, title, size = "", columns, rows, note, pie }) {
      Object.assign(this, { id, title, columns, rows, note, shown: SHOWN, sort: null, search: "" });
      this.heading = make("h2", { id: `${id}-title`, text: title });
      this.about = make("span", { class: "dim small" });
      this.body = make("tbody");
      this.head = make("tr");
      this.under = make("div", { class: "tools" });
      this.find = make("input", {
        type: "search", "aria-label": say("search", title), placeholder: say("find"),
        oninput: () => { this.search = this.find.value.toLowerCase(); this.shown = SHOWN; this.fill(); },
      });
      this.copying = make("button", { type: "button", text: say("csv"), "aria-label": `${say("csv")}: ${title}`, onclick: () => copy(this.csv()) });
      this.more = make("button", { type: "button", onclick: () => { this.shown += MORE; this.fill(); } });
      this.fewer = make("button", { type: "button", text: say("fewer"), "aria-label": `${say("fewer")}: ${title}`, onclick: () => { this.shown = SHOWN; this.fill(); } });
      this.table = make("table", { "aria-labelledby": `${id}-title` }, make("thead", {}, this.head), this.body);
      const scroll = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": `${id}-title` }, this.table);
      this.under.append(this.find, this.copying, this.more, this.fewer);
      const list = make("div", {}, scroll, this.under);
      this.element = make("section", { class: `panel ${size}`, id, "aria-labelledby": `${id}-title` },
        make("div", { class: "title" }, this.heading, this.about),
        pie ? make("div", { class: "pie" }, pie, list) : list);
      for (const column of columns) {
        column.button = make("button", { type: "button", text: column.title, onclick: () => this.sortBy(column) });
        column.head = make("th", { scope: "col", class: column.kind ?? "" }, column.button);
        this.head.append(column.head);
      }
    }
    sortBy(column) {
      const down = this.sort?.column === column ? !this.sort.down : column.kind === "number" || column.kind === "time";
      this.sort = { column, down };
      this.fill();
    }
    update(sums) {
      this.all = this.rows(sums);
      this.sums = sums;
      this.fill();
    }
    // The rows in their order, as far as they are looked for.
    ordered() {
      let rows = this.all;
      if (this.search) {
        rows = rows.filter((row) => this.columns.some((column) => String(column.text(row)).toLowerCase().includes(this.search)));
      }
      if (this.sort) {
        const { column, down } = this.sort;
        const order = column.order ?? column.text;
        const compare = (one, other) => {
          const [a, b] = [order(one), order(other)];
          return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), language);
        };
        rows = [...rows].sort((one, other) => (down ? compare(other, one) : compare(one, other)));
      }
      return rows;
    }
    fill() {
      const rows = this.ordered();
      for (const column of this.columns) {
        if (this.sort?.column === column) column.head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
        else column.head.removeAttribute("aria-sort");
      }
      this.body.replaceChildren(...rows.slice(0, this.shown).map((row) =>
        make("tr", { class: row.isChosen ? "chosen" : undefined },
          ...this.columns.map((column) => {
            const cell = column.cell?.(row);
            const td = make("td", { class: column.kind ?? "" });
            td.append(...(cell === undefined ? [this.shownText(column, row)] : [cell].flat()));
            return td;
          }))));
      if (rows.length === 0) this.body.append(make("tr", {}, make("td", { colspan: this.columns.length, class: "dim", text: say("noRows") })));
      this.more.hidden = rows.length <= this.shown;
      this.more.textContent = say("more", number(rows.length - this.shown));
      this.more.setAttribute("aria-label", `${this.more.textContent}: ${this.title}`);
      this.fewer.hidden = this.shown === SHOWN;
      this.find.hidden = this.all.length <= SHOWN && this.search === "";
      this.copying.hidden = this.all.length === 0;
      this.about.textContent = this.note?.(this.all, this.sums) ?? "";
      this.element.classList.toggle("long", this.shown > SHOWN);
    }
    shownText(column, row) {
      const text = column.text(row);
      return typeof text === "number" ? number(text) : visible(text);
    }
    csv() {
      return csv([this.columns.map((column) => column.title), ...this.ordered().map((row) => this.columns.map((column) => column.text(row)))]);
    }
  }

  // A value to be chosen, with a bar behind it.
  function chooser(dimension, code, part) {
    const value = dimension.values[code - FIRST];
    const text = label(dimension, code);
    const isChosen = chosen[dimension.at].has(code);
    const canBe = code !== OTHERS && !(code === NONE && dimension.field === null) && !(value && value.flags & NO_ROWS);
    const notes = [value && value.flags & CUT && say("cut"), value && value.flags & LATE && say("late"), value && value.flags & NO_ROWS && say("noChoice")];
    const title = notes.filter(Boolean).join(" ") || undefined;
    const isDim = code === OTHERS || (code === NONE && dimension.key !== "outcome") || !canBe;
    const element = canBe
      ? make("button", {
        type: "button", class: `plain over ${isDim ? "dim" : ""}`, "aria-pressed": String(isChosen), title,
        "data-choice": `${dimension.at} ${code}`, onclick: () => toggle(dimension.at, code),
      })
      : make("span", { class: "over dim", title });
    element.append(make("bdi", { class: "clamp", text }));
    if (part === undefined) return element;
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${Math.max(0, Math.min(100, 100 * part))}%`;
    return [bar, element];
  }
  const rawText = (dimension, code) => (code < FIRST ? label(dimension, code) : dimension.values[code - FIRST].text);

  function rowsOf(dimension, sums) {
    const counts = sums.counts[dimension.at];
    const rows = [];
    for (let code = 0; code < counts.length; code += 1) {
      if (counts[code] > 0 || chosen[dimension.at].has(code)) {
        const value = dimension.values[code - FIRST];
        rows.push({ dimension, code, value, events: counts[code], isChosen: chosen[dimension.at].has(code) });
      }
    }
    // Values first, the most frequent of them first; then those without, and the others.
    // Success is an outcome as others are.
    const isApart = (row) => row.code === OTHERS || (row.code === NONE && dimension.key !== "outcome");
    rows.sort((one, other) => isApart(one) - isApart(other) || other.events - one.events || one.code - other.code);
    const most = Math.max(1, ...rows.filter((row) => !isApart(row)).map((row) => row.events));
    const all = rows.reduce((sum, row) => sum + row.events, 0);
    for (const row of rows) {
      row.part = row.events / most;
      row.all = all;
    }
    return rows;
  }
  function listNote(dimension) {
    const { values, more, others } = dimension;
    const shown = number(values.length);
    let text = more > 0 ? say("listedSome", shown, number(more), number(others)) : say("listed", shown);
    const choosable = values.filter((value) => !(value.flags & NO_ROWS)).length;
    if (choosable < values.length) text += " " + say("tooMany", number(choosable));
    return text;
  }
  const seenNote = (sums) => (sums.isAll ? "" : " " + say("seenNote"));
  const eventsColumn = () => ({ title: say("events"), kind: "number", text: (row) => row.events });
  const valueColumn = (dimension, title = say("value")) => ({
    title, kind: "value",
    cell: (row) => chooser(dimension, row.code, row.part),
    text: (row) => rawText(dimension, row.code),
  });
  function listOf(key, size, options = {}) {
    const dimension = by[key];
    return new List({
      id: key, title: dimension.title, size,
      columns: [
        valueColumn(dimension), eventsColumn(),
        { title: say("share"), kind: "number", text: (row) => share(row.events, row.all), order: (row) => row.events },
        ...(options.more ?? []),
      ],
      rows: (sums) => rowsOf(dimension, sums),
      note: (rows, sums) => (options.note && dimension.values.length === 0 ? options.note : listNote(dimension) + (options.more ? seenNote(sums) : "")),
      pie: options.pie,
    });
  }

  // Events by the codes of some dimensions, of the kinds that fit and pass.
  function grouped(sums, keys, passes) {
    const groups = new Map();
    for (const kind of sums.fits) {
      if (!passes(kind)) continue;
      const codes = keys.map((key) => kinds[by[key].at][kind]);
      const name = codes.join(" ");
      const group = groups.get(name) ?? { codes, events: 0, failed: 0, first: Infinity, last: -Infinity };
      group.events += sums.events[kind];
      if (kinds[by.failed.at][kind] === TRUE.failed) group.failed += sums.events[kind];
      group.first = Math.min(group.first, sums.first[kind]);
      group.last = Math.max(group.last, sums.last[kind]);
      groups.set(name, group);
    }
    return [...groups.values()].sort((one, other) => other.events - one.events || (one.codes.join() < other.codes.join() ? -1 : 1));
  }
  const codeColumn = (key, at, title) => ({
    title: title ?? by[key].title, kind: "value",
    cell: (row) => chooser(by[key], row.codes[at]),
    text: (row) => rawText(by[key], row.codes[at]),
  });
  const failedColumn = () => ({ title: say("failedEvents"), kind: "number", text: (row) => row.failed });
  // Day and clock stand below each other where there is little room.
  const timeColumn = (key, of) => ({
    title: say(key), kind: "time", text: (row) => moment(of(row), true), order: (row) => of(row) ?? 0,
    cell: (row) => moment(of(row), true).split(" ").flatMap((part, at) => [...(at > 0 ? [" "] : []), make("span", { text: part })]),
  });

  // Identities, with what each did.
  function identities(sums) {
    const rows = rowsOf(by.who, sums).map((row) => ({ ...row, failed: 0, service: new Map(), error: new Map(), address: new Map() }));
    const places = new Map(rows.map((row) => [row.code, row]));
    const own = chosen[by.who.at];
    for (let kind = 0; kind < count; kind += 1) {
      const row = sums.events[kind] > 0 && places.get(kinds[by.who.at][kind]);
      if (!row || !fitsBut(kind, by.who.at, own)) continue;
      if (kinds[by.failed.at][kind] === TRUE.failed) row.failed += sums.events[kind];
      for (const key of ["service", "error", "address"]) {
        const code = kinds[by[key].at][kind];
        if (code !== NONE) row[key].set(code, (row[key].get(code) ?? 0) + sums.events[kind]);
      }
    }
    return rows;
  }
  // Whether a kind fits all choices but that of one dimension.
  function fitsBut(kind, but) {
    return dimensions.every(({ at }) => at === but || chosen[at].size === 0 || chosen[at].has(kinds[at][kind]));
  }
  function top(dimension, counts) {
    const all = [...counts].sort((one, other) => other[1] - one[1]);
    const parts = all.slice(0, 3).map(([code, events]) => `${label(dimension, code)} ${number(events)}`);
    if (all.length > 3) parts.push(say("plus", number(all.length - 3)));
    return parts;
  }
  const topColumn = (key, title) => ({
    title, kind: "value",
    cell: (row) => top(by[key], row[key]).map((part) => make("div", { class: "small" }, make("bdi", { class: "clamp", text: part }))),
    text: (row) => top(by[key], row[key]).join("; "),
    order: (row) => row[key].size,
  });

  // ---- charts

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const palette = () => [0, 1, 2, 3, 4, 5, 6].map((at) => style(`--s${at}`));
  const canvas = (id) => make("canvas", { id, role: "img" });
  const timeCanvas = canvas("time-chart"), nameCanvas = canvas("name-chart");
  // Nothing on a canvas is HTML, and the tables beside say the same.
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  let timeChart = null, nameChart = null;

  // The bars of the chart over time: each begins at a multiple of `step` in the zone.
  const STEPS = [60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 7 * DAY, 28 * DAY];
  function bars(width = data.width) {
    if (data.first === null) return { step: width, begin: 0, length: 0 };
    const shift = (zone * 60) % width === 0 ? zone * 60 : 0;
    const [from, to] = [Math.floor(data.first / width) * width, data.last];
    let step = STEPS.find((step) => step % width === 0 && (to - from) / step <= 100) ?? 28 * DAY;
    while ((to - from) / step > 400) step *= 2;
    const begin = Math.floor((from + shift) / step) * step - shift;
    return { step, begin, length: Math.floor((to - begin) / step) + 1 };
  }
  // Outcomes that have a colour of their own.
  const series = [NONE, ...by.outcome.values.map((_, at) => at + FIRST).slice(0, 5)];
  const seriesOf = (code) => { const at = series.indexOf(code); return at < 0 ? series.length : at; };
  const seriesName = (at) => (at < series.length ? label(by.outcome, series[at]) : say("otherOutcomes"));

  const isFine = (sums) => sums.isAll && timeline.width < data.width;
  function overTime(sums) {
    const { step, begin, length } = bars(isFine(sums) ? timeline.width : data.width);
    const stacks = [...series, OTHERS].map(() => new Float64Array(length));
    const add = (time, outcome, events) => { stacks[seriesOf(outcome)][Math.floor((time - begin) / step)] += events; };
    if (isFine(sums)) for (const { time, outcome, events } of timeline.cells) add(time, outcome, events);
    else for (const cell of sums.overTime) add(cellTime[cell], kinds[by.outcome.at][cellKind[cell]], cellEvents[cell]);
    return { step, begin, length, stacks };
  }
  const isInRange = (begin, step) => !range || (begin >= range.from && begin + step <= range.to);

  // What can be chosen begins and ends where cells do.
  function chooseTime(begin, end) {
    const from = Math.floor(begin / data.width) * data.width, to = Math.ceil(end / data.width) * data.width;
    range = range && range.from === from && range.to === to ? null : { from, to };
    draw();
  }

  function drawCharts(sums) {
    const times = overTime(sums);
    const colours = palette();
    const [text, line] = [style("--dim"), style("--line")];
    const used = times.stacks.map((_, at) => at).filter((at) => times.stacks[at].some((events) => events > 0));
    const labels = Array.from({ length: times.length }, (_, at) => moment(times.begin + at * times.step).slice(0, times.step < DAY ? 16 : 10));
    const faded = (colour, at) => (isInRange(times.begin + at * times.step, times.step) ? colour : colour + "55");
    timeChart?.destroy();
    timeChart = new Chart(timeCanvas, {
      type: "bar",
      data: {
        labels,
        datasets: used.map((at) => ({
          label: brief(seriesName(at)), data: [...times.stacks[at]],
          backgroundColor: labels.map((_, bar) => faded(colours[at], bar)), barPercentage: 1, categoryPercentage: 0.92,
        })),
      },
      options: {
        interaction: { mode: "index", intersect: false },
        onClick: (event, found) => {
          if (found.length > 0) chooseTime(times.begin + found[0].index * times.step, times.begin + (found[0].index + 1) * times.step);
        },
        scales: {
          x: { stacked: true, ticks: { color: text, maxRotation: 0, autoSkipPadding: 16 }, grid: { display: false } },
          y: { stacked: true, beginAtZero: true, ticks: { color: text, precision: 0 }, grid: { color: line } },
        },
        plugins: { legend: { labels: { color: style("--text"), boxWidth: 12 } } },
      },
    });
    timeCanvas.setAttribute("aria-label", say("overTimeLabel", moment(data.first), moment(data.last)));

    const names = rowsOf(by.name, sums).filter((row) => !chosen[by.name.at].size || row.isChosen);
    const slices = names.filter((row) => row.code >= FIRST).slice(0, 6);
    const rest = names.reduce((sum, row) => sum + row.events, 0) - slices.reduce((sum, row) => sum + row.events, 0);
    const pieces = [...slices.map((row) => [label(by.name, row.code), row.events]), ...(rest > 0 ? [[say("others"), rest]] : [])];
    nameChart?.destroy();
    nameChart = new Chart(nameCanvas, {
      type: "doughnut",
      data: {
        labels: pieces.map(([name]) => brief(name)),
        datasets: [{ data: pieces.map(([, events]) => events), backgroundColor: colours, borderColor: style("--panel"), borderWidth: 2 }],
      },
      options: {
        onClick: (event, found) => {
          const slice = found.length > 0 && slices[found[0].index];
          if (slice) toggle(by.name.at, slice.code);
        },
        plugins: { legend: { position: "bottom", labels: { color: style("--text"), boxWidth: 12 } } },
      },
    });
    nameCanvas.setAttribute("aria-label", say("nameLabel", pieces.map(([name, events]) => `${name} ${number(events)}`).join(", ")));
  }

  // ---- the week

  const weekTable = make("table", { class: "heat", "aria-labelledby": "week-title" });
  const weekAbout = make("p", { class: "dim small" });
  let weekFocus = 0;
  function drawWeek(sums) {
    const counts = new Float64Array(168);
    const canChoose = knowsHours();
    if (canChoose) {
      for (const cell of sums.overWeek) counts[hourOf(cellTime[cell])] += cellEvents[cell];
    } else {
      data.week.forEach((events, slot) => {
        counts[(((Math.floor((slot * 15 + zone) / 60)) % 168) + 168) % 168] += events;
      });
    }
    const most = Math.max(1, ...counts);
    const head = make("tr", {}, make("td"), ...Array.from({ length: 24 }, (_, hour) => make("th", { scope: "col", text: two(hour) })));
    const rows = weekdays.map((day, at) =>
      make("tr", {}, make("th", { scope: "row", text: day }), ...Array.from({ length: 24 }, (_, hour) => {
        const slot = at * 24 + hour;
        const text = say("hour", day, two(hour), number(counts[slot]));
        const button = make("button", {
          type: "button", "aria-label": text, title: text, "aria-pressed": String(hours.has(slot)), "data-hour": slot,
          "data-events": counts[slot], disabled: !canChoose, tabindex: slot === weekFocus ? "0" : "-1",
          onclick: () => { weekFocus = slot; if (!hours.delete(slot)) hours.add(slot); draw(); },
        });
        // Differences among few events are seen too.
        button.style.setProperty("--level", counts[slot] === 0 ? 0 : 0.12 + 0.88 * Math.sqrt(counts[slot] / most));
        return make("td", {}, button);
      })));
    weekTable.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    weekAbout.textContent = canChoose ? say("weekHint") : say("weekNote", duration(data.width));
  }
  weekTable.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -24, ArrowDown: 24 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = weekFocus + by;
    if (next < 0 || next > 167) return;
    weekTable.querySelector(`[data-hour="${weekFocus}"]`).tabIndex = -1;
    weekFocus = next;
    const button = weekTable.querySelector(`[data-hour="${next}"]`);
    button.tabIndex = 0;
    button.focus();
  });

  // ---- the page

  const lists = [];
  const panel = (id, title, size, ...children) =>
    make("section", { class: `panel ${size}`, id, "aria-labelledby": `${id}-title` },
      make("div", { class: "title" }, make("h2", { id: `${id}-title`, text: title })), ...children);

  const fromSelect = make("select", { id: "from" }), toSelect = make("select", { id: "to" });
  const timeAbout = make("p", { class: "dim small" });
  const timeList = new List({
    id: "times", title: `${say("overTime")}, ${say("asTable")}`, size: "inner",
    columns: [
      { title: say("time"), kind: "time", text: (row) => moment(row.begin), order: (row) => row.begin },
      eventsColumn(),
      ...[...series, OTHERS].map((_, at) => ({ title: visible(seriesName(at)), kind: "number", text: (row) => row.stacks[at] })),
    ],
    rows: (sums) => {
      const { step, begin, length, stacks } = overTime(sums);
      const rows = Array.from({ length }, (_, at) => ({ begin: begin + at * step, stacks: stacks.map((stack) => stack[at]) }));
      for (const row of rows) row.events = row.stacks.reduce((sum, events) => sum + events, 0);
      return rows.filter((row) => row.events > 0);
    },
  });
  timeList.heading.classList.add("hidden");
  function drawTimes(sums) {
    const { step, begin, length } = bars();
    const options = (ends) => [make("option", { value: "", text: say("wholeTime") }), ...Array.from({ length }, (_, at) => {
      const time = begin + (at + ends) * step;
      return make("option", { value: time, text: moment(time) });
    })];
    fromSelect.replaceChildren(...options(0));
    toSelect.replaceChildren(...options(1));
    fromSelect.value = range ? String(range.from) : "";
    toSelect.value = range ? String(range.to) : "";
    const without = data.without_time > 0 ? " " + say("withoutTime", number(data.without_time)) : "";
    timeAbout.textContent = say("bars", duration(overTime(sums).step)) + without;
  }
  const timePanel = panel("overtime", say("overTime"), "wide",
    make("div", { class: "canvas" }, timeCanvas), timeAbout,
    make("div", { class: "tools" },
      make("label", { for: "from", text: say("from") }), fromSelect,
      make("label", { for: "to", text: say("to") }), toSelect,
      make("button", {
        type: "button", id: "apply-time", text: say("apply"),
        onclick: () => {
          const from = fromSelect.value === "" ? -1e12 : Number(fromSelect.value);
          const to = toSelect.value === "" ? 1e12 : Number(toSelect.value);
          const { begin, step, length } = bars();
          const isWhole = fromSelect.value === "" && toSelect.value === "";
          toSelect.setCustomValidity(to <= from ? say("toBeforeFrom") : "");
          if (!toSelect.reportValidity()) return;
          range = isWhole ? null : { from: Math.max(from, begin), to: Math.min(to, begin + step * length) };
          draw();
        },
      })),
    make("details", {}, make("summary", { text: say("asTable") }), timeList.element));

  const weekPanel = panel("week", say("week"), "two",
    make("div", { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": "week-title" }, weekTable), weekAbout);

  const nameList = listOf("name", "two", { pie: make("div", { class: "canvas" }, nameCanvas) });
  const whoList = new List({
    id: "who", title: by.who.title, size: "wide plain",
    columns: [
      valueColumn(by.who, say("whoOne")), eventsColumn(), failedColumn(),
      topColumn("service", say("services")), topColumn("error", say("errors")), topColumn("address", say("addresses")),
      timeColumn("first", (row) => row.value?.first), timeColumn("last", (row) => row.value?.last),
    ],
    rows: identities,
    note: (rows, sums) => listNote(by.who) + seenNote(sums),
  });
  const addressList = listOf("address", "two", {
    more: [timeColumn("first", (row) => row.value?.first), timeColumn("last", (row) => row.value?.last)],
  });
  const handList = new List({
    id: "byhand", title: say("byHand"), size: "two plain",
    columns: [codeColumn("who", 0, say("whoOne")), codeColumn("name", 1), codeColumn("service", 2), eventsColumn(), failedColumn()],
    rows: (sums) => grouped(sums, ["who", "name", "service"], (kind) =>
      kinds[by.console.at][kind] === TRUE.console && kinds[by.readonly.at][kind] === FALSE.readonly),
    note: () => say("byHandNote"),
  });
  const mfaWord = (code) => (code === TRUE.mfa ? say("yes") : code === FALSE.mfa ? say("no") : code === NONE ? say("unknown") : label(by.mfa, code));
  const signInList = new List({
    id: "signins", title: say("signIns"), size: "wide plain",
    columns: [
      codeColumn("who", 0, say("whoOne")), codeColumn("name", 1), codeColumn("signin", 2, say("result")),
      {
        title: say("mfa"), kind: "value",
        cell: (row) => {
          const element = chooser(by.mfa, row.codes[3]);
          if (row.codes[3] === NONE) return make("span", { class: "dim", text: mfaWord(NONE) });
          element.firstChild.textContent = mfaWord(row.codes[3]);
          return element;
        },
        text: (row) => mfaWord(row.codes[3]),
      },
      codeColumn("outcome", 4), codeColumn("address", 5), codeColumn("country", 6), eventsColumn(),
    ],
    rows: (sums) => grouped(sums, ["who", "name", "signin", "mfa", "outcome", "address", "country"], (kind) => kinds[by.signin.at][kind] !== NONE),
    note: () => say("signInsNote"),
  });
  const rules = new Map(data.rules.map((rule) => [rule.name, rule]));
  const order = ["CRITICAL", "WARNING"];
  const ruleList = new List({
    id: "grave", title: say("grave"), size: "wide",
    columns: [
      {
        ...valueColumn(by.rule, say("rule")),
        cell: (row) => [...chooser(by.rule, row.code, row.part), make("div", { class: "small dim over", text: rules.get(row.value?.text)?.desc ?? "" })],
      },
      {
        title: say("priority"), text: (row) => rules.get(row.value?.text)?.priority ?? "",
        cell: (row) => { const priority = rules.get(row.value?.text)?.priority ?? ""; return make("span", { class: priority, text: priority }); },
        order: (row) => order.indexOf(rules.get(row.value?.text)?.priority),
      },
      eventsColumn(), timeColumn("first", (row) => row.value?.first), timeColumn("last", (row) => row.value?.last),
    ],
    rows: (sums) => rowsOf(by.rule, sums).filter((row) => row.code >= FIRST)
      .sort((one, other) => order.indexOf(rules.get(one.value.text)?.priority) - order.indexOf(rules.get(other.value.text)?.priority) || other.events - one.events),
    note: (rows, sums) => say("graveNote", number(data.rules_asked)) + (rows.length === 0 ? " " + say("graveNone") : seenNote(sums)),
  });
  if (data.rules_left_out.length > 0) {
    ruleList.element.append(make("details", {},
      make("summary", { text: say("leftOut", number(data.rules_left_out.length)) }),
      make("ul", {}, ...data.rules_left_out.map(({ name, why }) => make("li", { text: `${name}: ${why}` })))));
  }

  const { losses } = data;
  const lossPanel = panel("losses", say("losses"), "half");
  if (losses.summary) lossPanel.append(make("p", { id: "summary", class: "value", text: visible(losses.summary) }));
  if (losses.warnings.length > 0) {
    lossPanel.append(make("h3", { class: "small", text: say("warnings") }),
      make("ul", { id: "warnings" }, ...losses.warnings.map((line) => make("li", { text: visible(line) })),
        losses.more_warnings > 0 ? make("li", { text: say("moreWarnings", number(losses.more_warnings)) }) : undefined));
  } else lossPanel.append(make("p", { class: "dim", text: say("noWarnings") }));
  lossPanel.append(make("details", {}, make("summary", { text: say("details") }),
    make("table", { id: "metrics", "aria-label": say("metric") },
      make("thead", {}, make("tr", {}, make("th", { scope: "col", text: say("metric") }), make("th", { scope: "col", class: "number", text: say("number") }))),
      make("tbody", {}, ...Object.entries(losses.metrics).map(([name, value]) =>
        make("tr", {}, make("th", { scope: "row", text: name }), make("td", { class: "number", text: number(value) })))))));
  const boundsPanel = panel("bounds", say("bounds"), "half",
    make("p", { text: say("boundsText", duration(data.width), number(count)) }),
    make("p", { text: say("narrower", '{"filter": "ct.error exists"}') }),
    make("details", {}, make("summary", { text: say("licences") }), make("pre", { text: data.licence })));

  // The header.
  const zoneSelect = make("select", { id: "zone", onchange: () => { zone = Number(zoneSelect.value); if (!knowsHours()) hours = new Set(); draw(); } });
  const zones = new Set([0, browserZone]);
  for (let minutes = -12 * 60; minutes <= 14 * 60; minutes += 30) zones.add(minutes);
  for (const minutes of [345, 525, 765]) zones.add(minutes); // Kathmandu, Eucla, Chatham
  for (const minutes of [0, browserZone, ...[...zones].sort((one, other) => one - other)].filter((value, at, all) => all.indexOf(value) === at)) {
    const own = minutes === browserZone && minutes !== 0 ? ` (${say("browserZone")})` : "";
    zoneSelect.append(make("option", { value: minutes, text: (minutes === 0 ? "UTC" : zoneName(minutes)) + own }));
  }
  const span = make("p", { class: "dim", id: "span" });
  const header = make("header", {},
    make("div", { class: "head" },
      make("h1", { text: say("title") }),
      make("div", {}, make("label", { for: "zone", text: say("zone") + " " }), zoneSelect)),
    make("p", { id: "source", class: "value", text: say("source", visible(data.source)) }), span);
  if (data.partial !== null) {
    header.append(make("p", { class: "banner", id: "partial", text: data.partial === "interrupted" ? say("partial") : say("brokenOff", visible(data.partial)) }));
  }
  const tiles = make("ul", { class: "tiles", id: "tiles" });
  const tile = (id, name, value, kind = "") => make("li", { class: kind, id: `tile-${id}` }, make("b", { text: value }), name);
  function drawTiles(sums) {
    // How many values there are, besides those that are not told apart.
    const distinct = (key) => {
      const counts = sums.counts[by[key].at];
      const own = chosen[by[key].at];
      let values = 0;
      for (let code = FIRST; code < counts.length; code += 1) values += counts[code] > 0 && (own.size === 0 || own.has(code));
      if (sums.isAll) values += by[key].more;
      const isLess = sums.isAll ? by[key].many : counts[OTHERS] > 0 && own.size === 0;
      return isLess ? say("atLeast", number(values)) : number(values);
    };
    const ofKinds = (passes) => number(sums.fits.reduce((sum, kind) => sum + (passes(kind) ? sums.events[kind] : 0), 0));
    tiles.replaceChildren(
      tile("events", say("events"), number(sums.total)),
      tile("failed", say("failedEvents"), ofKinds((kind) => kinds[by.failed.at][kind] === TRUE.failed)),
      tile("who", say("identities"), distinct("who")),
      tile("address", say("addresses"), distinct("address")),
      tile("grave", say("graveTile"), ofKinds((kind) => kinds[by.rule.at][kind] !== NONE), "grave"),
      tile("mfa", say("noMfaTile"), ofKinds((kind) => kinds[by.signin.at][kind] !== NONE && kinds[by.mfa.at][kind] === FALSE.mfa)));
  }

  // The choice.
  const chips = make("span", { id: "chips" });
  const shown = make("span", { class: "count", role: "status", id: "count" });
  const clear = make("button", {
    type: "button", class: "clear", id: "clear", text: say("clear"),
    onclick: () => { chosen.forEach((codes) => codes.clear()); range = null; hours = new Set(); draw(); },
  });
  const area = (id, title) => {
    const text = make("textarea", { id, readonly: true, spellcheck: "false" });
    const button = make("button", { type: "button", text: say("copy"), "aria-label": `${say("copy")}: ${title}`, onclick: () => copy(text.value) });
    return { text, element: make("div", {}, make("label", { for: id, text: title }), text, button) };
  };
  const stratoshark = area("stratoshark", say("stratoshark")), sysdig = area("sysdig", say("sysdig"));
  const notes = make("div", { class: "dim small", id: "link-notes" });
  const choice = make("section", { class: "choice", "aria-label": say("choice"), id: "choice" },
    shown, chips, clear,
    make("details", { id: "links" }, make("summary", { text: say("links") }),
      make("div", { class: "links" }, stratoshark.element, sysdig.element), notes));

  function drawChoice(sums) {
    const parts = [];
    const chip = (text, remove) => parts.push(make("button", { type: "button", class: "chip", title: text, "aria-label": say("remove", text), onclick: remove }, make("bdi", { text }), " ×"), " ");
    for (const dimension of dimensions) {
      for (const code of chosen[dimension.at]) {
        chip(`${dimension.title}: ${dimension.key === "mfa" ? mfaWord(code) : label(dimension, code)}`, () => toggle(dimension.at, code));
      }
    }
    if (range) chip(say("timeChosen", moment(range.from), moment(range.to)), () => { range = null; draw(); });
    if (hours.size > 0) {
      const names = [...hours].sort((one, other) => one - other).map((slot) => say("hourOf", weekdays[Math.floor(slot / 24)], two(slot % 24)));
      chip(say("hoursChosen", names.join(", ")), () => { hours = new Set(); draw(); });
    }
    chips.replaceChildren(...parts);
    clear.hidden = parts.length === 0;
    shown.textContent = sums.isAll ? say("everything", number(data.events)) : say("some", number(sums.total), number(data.events));
    const found = conditions();
    stratoshark.text.value = found.stratoshark;
    sysdig.text.value = found.sysdig;
    notes.replaceChildren(...(parts.length === 0 ? ["nothingChosen"] : [...found.notes]).map((note) => make("p", { text: say(note) })));
  }

  const grid = make("div", { class: "grid" }, timePanel);
  for (const part of [
    nameList, listOf("outcome", ""), ruleList, whoList, weekPanel, listOf("error", ""), addressList, listOf("service", ""),
    listOf("agent", "two"), [listOf("country", "", { note: say("noCountries") }), listOf("region", ""), listOf("account", "")],
    signInList, handList, [listOf("console", ""), listOf("readonly", "")], lossPanel, boundsPanel,
  ]) {
    // Short ones stand above each other.
    const parts = [part].flat();
    lists.push(...parts.filter((part) => part instanceof List));
    const elements = parts.map((part) => part.element ?? part);
    grid.append(...(parts.length > 1 ? [make("div", { class: "stack" }, ...elements)] : elements));
  }
  lists.push(timeList);

  function draw() {
    const focused = document.activeElement;
    const isOfChoice = choice.contains(focused);
    const place = ["data-choice", "data-hour"].find((name) => focused?.hasAttribute?.(name));
    const within = place && focused.closest("section")?.id;
    const mark = place && focused.getAttribute(place);
    const sums = summed();
    span.textContent = (data.first === null ? "" : `${moment(data.first, true)} – ${moment(data.last, true)} · `) + say("made", moment(data.made), data.version);
    drawTiles(sums);
    drawChoice(sums);
    drawTimes(sums);
    drawCharts(sums);
    drawWeek(sums);
    for (const list of lists) list.update(sums);
    // What had the focus was made anew.
    if (place) document.querySelector(`#${within} [${place}="${mark}"]`)?.focus();
    else if (isOfChoice && document.activeElement === document.body) (chips.querySelector("button") ?? choice.querySelector("summary")).focus();
  }

  document.documentElement.lang = language;
  document.title = `${say("title")}: ${visible(data.source)}`;
  document.getElementById("report").append(header, make("main", {}, tiles, choice, grid), status);
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Paper is white.
  const paper = (isPaper) => { document.documentElement.classList.toggle("printed", isPaper); draw(); };
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
})();
