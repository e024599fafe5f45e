// Goes on as soon as every frame has loaded, or after five seconds; without it there is the link.
(function () {
	var gone;
	function go() {
		if (!gone) location.replace(document.getElementById("onward").href);
		gone = 1;
	}
	addEventListener("load", go);
	setTimeout(go, 5e3);
})();
