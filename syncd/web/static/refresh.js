// Every 30 s: swaps what changed.
(() => {
	const doc = document, $ = id => doc.getElementById(id);
	let tag = "", main = $("main"), paused = localStorage.paused;

	const age = at => {
		const s = (Date.now() - at) / 1000, n = Math.abs(s), i = (n >= 120) + (n >= 7200) + (n >= 172800);
		const told = (n / [1, 60, 3600, 86400][i] | 0) + " " + ["s", "min", "h", "days"][i];
		return n < 2 ? "just now" : s > 0 ? told + " ago" : "in " + told;
	};
	const show = () => {
		for (const t of doc.querySelectorAll("[data-age]")) t.textContent = t.dataset.age
			? new Date().toLocaleTimeString("en-GB", { timeZone: main.dataset.zone }) : age(Date.parse(t.dateTime));
	};
	const button = () => {
		const b = $("pause");
		b.hidden = false;
		b.textContent = b.dataset[paused ? "resume" : "pause"];
		b.onclick = () => { localStorage.paused = paused = paused ? "" : 1; button(); look(); };
	};
	const swap = text => {
		const page = new DOMParser().parseFromString(text, "text/html"), fresh = page.getElementById("main");
		const held = doc.activeElement, left = $("timeline")?.scrollLeft;
		const place = main.contains(held) && (held.id ? "#" + held.id : `[href="${held.getAttribute("href")}"]`);
		for (const d of main.querySelectorAll("details")) {
			const its = fresh.querySelector("#" + d.id);
			if (its) its.open = d.open;
		}
		main.replaceWith(fresh);
		if (left) $("timeline").scrollLeft = left;
		if (place) (fresh.querySelector(place) || fresh).focus({ preventScroll: true });
		doc.title = page.title;
		$("icon").href = page.getElementById("icon").href;
		if (fresh.dataset.number != main.dataset.number) $("live").textContent = fresh.dataset.live;
		main = fresh;
		button();
	};
	const look = async () => {
		if (paused || doc.hidden) return;
		const got = await fetch("", { headers: { "If-None-Match": tag } }).catch(() => 0);
		if (got.ok) tag = got.headers.get("ETag"), swap(await got.text());
		if ($("lost").hidden = got.ok || got.status == 304) show();
	};

	button();
	setInterval(look, 30000);
	doc.onvisibilitychange = look;
})();
