// Every 30 s: swaps what changed.
(() => {
	const doc = document, $ = id => doc.getElementById(id);
	let tag = "", main = $("main"), paused = localStorage.paused;

	const age = at => {
		const s = (Date.now() - at) / 1e3, n = Math.abs(s), i = (n >= 120) + (n >= 7200) + (n >= 172800);
		const t = (n / [1, 60, 3600, 86400][i] | 0) + [" s", " min", " h", " days"][i];
		return n < 2 ? "just now" : s > 0 ? t + " ago" : "in " + t;
	};
	const show = () => {
		for (const t of doc.querySelectorAll("[data-age]")) t.textContent = t.dataset.age
			? new Date().toLocaleTimeString("sv", { timeZone: main.dataset.zone }) : age(Date.parse(t.dateTime));
	};
	const knob = () => {
		const b = $("pause");
		b.hidden = false;
		b.textContent = b.dataset[paused ? "resume" : "pause"];
		b.onclick = () => { localStorage.paused = paused = paused ? "" : 1; knob(); look(); };
	};
	const swap = text => {
		const page = new DOMParser().parseFromString(text, "text/html"), next = page.getElementById("main");
		const held = doc.activeElement, left = $("timeline")?.scrollLeft;
		const spot = main.contains(held) && (held.id ? "#" + held.id : `[href="${held.getAttribute("href")}"]`);
		for (const d of main.querySelectorAll("details")) {
			const its = next.querySelector("#" + d.id);
			if (its) its.open = d.open;
		}
		main.replaceWith(next);
		if (left) $("timeline").scrollLeft = left;
		if (spot) (next.querySelector(spot) || next).focus({ preventScroll: 1 });
		doc.title = page.title;
		$("icon").href = page.getElementById("icon").href;
		if (next.dataset.number != main.dataset.number) $("live").textContent = next.dataset.live;
		main = next;
		knob();
	};
	const look = async () => {
		if (paused || doc.hidden || doc.querySelector("form :focus")) return;
		const got = await fetch("", { headers: { "If-None-Match": tag } }).catch(() => 0);
		if (got.ok) tag = got.headers.get("ETag"), swap(await got.text());
		if ($("lost").hidden = got.ok || got.status == 304) show();
	};

	knob();
	setInterval(look, 3e4);
	doc.onvisibilitychange = look;
})();
