// Livelier waiting pages; they work without it.
(function () {
	function el(id) { return document.getElementById(id); }
	function reload() { location.reload(); }
	function press(id) { var b = el(id); if (b) b.click(); else reload(); }
	function two(n) { return n < 10 ? "0" + n : n; }
	function now() { return performance.now(); }
	function show(id, yes) { el(id).hidden = !yes; }
	function on(what, act) { addEventListener(what, act); }
	var box = el("wait");
	if (!box) return;
	function say(name) { return box.getAttribute("data-" + name); }
	var sent = -1e4; // two clicks are one
	on("submit", function (e) { if (now() - sent < 1000) e.preventDefault(); else sent = now(); });
	on("pageshow", function (e) { if (e.persisted) reload(); });
	if (say("go")) return press("check");

	var live = el("live"), qr = el("qr"), app = el("app");
	var left = +say("seconds"), base = now(), said = left, over;
	var pause = 2000, failing = 0, timer;

	function tick() {
		var rest = Math.max(0, Math.ceil(left - (now() - base) / 1000));
		el("clock").textContent = two(Math.floor(rest / 60)) + ":" + two(rest % 60);
		[120, 60, 30].forEach(function (mark) {
			if (rest <= mark && said > mark) live.textContent = say(mark);
		});
		said = rest;
		if (!rest && !over && !failing) { over = 1; setTimeout(reload, 1500); } // the server decides
	}
	function again(wait) { clearTimeout(timer); timer = setTimeout(poll, wait); }
	function soon() { again(0); }
	function lost(told) {
		failing = failing || now();
		var more = 3e4 - now() + failing;
		show("offline", more > 0);
		show("lost", more <= 0);
		pause = Math.min(pause * 2, 15e3);
		if (more > 0) again(Math.max(told * 1000 || 0, Math.min(pause, more)));
	}
	function poll() {
		if (over) return;
		var ask = new XMLHttpRequest();
		ask.open("GET", say("status"));
		ask.timeout = 15e3;
		ask.onload = function () {
			var status = ask.status, answer = 0;
			if (status === 410 || status === 403) return reload();
			if (status === 429) return again(1e3 + 2e3 * Math.random()); // another tab
			try { answer = JSON.parse(ask.responseText); } catch (e) {}
			if (status !== 200 || !answer) return lost(ask.getResponseHeader("Retry-After"));
			failing = 0; pause = 2000;
			show("offline"); show("lost");
			if (answer.state === "done") { over = 1; live.textContent = say("done"); return press("check"); }
			left = answer.seconds; base = now();
			again(pause);
		};
		ask.onerror = ask.ontimeout = lost;
		ask.send();
	}
	on("offline", lost);
	on("online", soon);
	document.addEventListener("visibilitychange", soon);
	// once: who comes back by Back stays
	if (say("leave") && !history.state) on("load", function () {
		setTimeout(function () { history.replaceState(1, ""); press("go"); }, 0);
	});
	if (app) app.onclick = function () { soon(); setTimeout(show, 5e3, "unopened", 1); };
	if (qr && self.IntersectionObserver) new IntersectionObserver(function (seen) {
		show("qr-cut", seen[0].intersectionRatio <= 0.95);
	}, { threshold: [0, 0.96, 1] }).observe(qr);
	setInterval(tick, 500);
	again(pause);
})();
