// Shared screens: a page that nobody touches for a minute clears itself, and says so before.
(function () {
	var box = document.getElementById("kiosk"), to = box.getAttribute("data-to");
	var root = document.documentElement;
	function now() { return performance.now(); }
	var touched = now(), over;
	function act() { touched = now(); }
	function done() { box.hidden = true; }
	function empty() {
		for (var i = 0; i < document.forms.length; i++) document.forms[i].reset();
		root.hidden = true;
	}
	function clear() {
		over = 1;
		empty();
		var button = document.getElementById(to);
		if (button) button.click(); else location.replace(to);
	}
	["click", "keydown", "pointerdown", "touchstart", "mousemove", "wheel"].forEach(function (what) {
		addEventListener(what, act, true);
	});
	// nothing moves away from under a finger: the warning goes after a press, or after a pause
	addEventListener("click", done);
	addEventListener("keyup", done);
	setInterval(function () {
		var idle = now() - touched;
		if (over) return;
		if (idle >= 60000) return clear();
		if (idle >= 40000) box.hidden = false; // 20 s, as it says
		else if (idle >= 2000) done();
	}, 500);
	// whoever presses Back sees nothing of who was here before
	addEventListener("pagehide", empty);
	addEventListener("pageshow", function (e) { if (e.persisted) location.reload(); });
})();
