// Livelier waiting pages.
(function () {
	function el(id) { return document.getElementById(id); }
	function reload() { location.reload(); }
	function press(id) { var b = el(id); b ? b.click() : reload(); }
	function two(n) { return n < 10 ? "0" + n : n; }
	function now() { return performance.now(); }
	function show(id, yes) { el(id).hidden = !yes; }
	function on(what, act) { addEventListener(what, act); }
	var box = el("wait");
	if (!box) return;
	function say(name) { return box.dataset[name]; }
	var sent = -1e4; // two clicks are one
	on("submit", function (e) { if (now() - sent < 1e3) e.preventDefault(); else sent = now(); });
	on("pageshow", function (e) { if (e.persisted) reload(); });
	if (say("go")) return press("check");

	function tell(name) { el("live").textContent = say(name); }
	var qr = el("qr"), app = el("app");
	var left = +say("seconds"), base = now(), said = left, over;
	var pause = 2e3, failing = 0, timer;

	function tick() {
		var rest = Math.max(0, Math.ceil(left - (now() - base) / 1e3));
		el("clock").textContent = two(rest / 60 | 0) + ":" + two(rest % 60);
		[120, 60, 30].forEach(function (mark) {
			if (rest <= mark && said > mark) tell(mark);
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
		if (more > 0) again(Math.max(told * 1e3 || 0, Math.min(pause, more)));
	}
	function poll() {
		if (over) return;
		var ask = new XMLHttpRequest();
		ask.open("GET", say("status"));
		ask.timeout = 15e3;
		ask.onload = function () {
			var status = ask.status, answer = 0;
			if (status == 410 || status == 403) return reload();
			if (status == 429) return again(1e3 + 2e3 * Math.random()); // another tab
			try { answer = JSON.parse(ask.responseText); } catch (e) {}
			if (status != 200 || !answer) return lost(ask.getResponseHeader("Retry-After"));
			failing = 0; pause = 2e3;
			show("offline"); show("lost");
			if (answer.state === "done") { over = 1; tell("done"); return press("check"); }
			left = answer.seconds; base = now();
			again(pause);
		};
		ask.onerror = ask.ontimeout = lost;
		ask.send();
	}
	on("offline", lost);
	on("online", soon);
	document.addEventListener("visibilitychange", soon);
	// not after Back
	if (say("leave") && !history.state) on("load", function () {
		setTimeout(function () { history.replaceState(1, ""); press("go"); });
	});
	if (app) app.onclick = function () { soon(); setTimeout(show, 5e3, "unopened", 1); };
	if (qr && self.IntersectionObserver) new IntersectionObserver(function (seen) {
		show("qr-cut", seen[0].intersectionRatio <= 0.95);
	}, { threshold: [0, 0.96, 1] }).observe(qr);
	el("hide").onclick = function () { tell(this.parentNode.open ? "hidden" : "shown"); };
	setInterval(tick, 500);
	again(pause);
})();
