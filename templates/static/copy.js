// A button that copies the reference, where the browser can; without it the number is selectable.
(function () {
	var button = document.getElementById("copy"), told = document.getElementById("copied");
	if (!button || !navigator.clipboard) return;
	button.hidden = false;
	button.addEventListener("click", function () {
		var text = document.getElementById("reference").textContent;
		navigator.clipboard.writeText(text).then(function () {
			told.textContent = told.getAttribute("data-done");
		}, function () { button.hidden = true; });
	});
})();
