// Starts the page: shows a message if the browser is too old, links the modules, and calls main.mjs.
(function () {
  "use strict";
  var status = document.getElementById("status");
  function fail(message, detail) {
    status.hidden = false;
    status.classList.add("failed");
    status.textContent = message;
    if (detail) {
      var small = document.createElement("small");
      small.textContent = detail;
      status.appendChild(small);
    }
  }
  var missing = ["WebAssembly", "DecompressionStream", "Promise", "PointerEvent", "ResizeObserver"].filter(function (name) {
    return !(name in window);
  });
  if (missing.length) {
    fail(
      "This browser is too old: the page requires Chrome or Edge 91, Firefox 113 or Safari 16.4, or newer.",
      "Missing: " + missing.join(", ")
    );
    return;
  }
  function read(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }
  // Modules are sorted by their imports, so that each import can be replaced by the URL of an earlier module.
  var urls = {};
  read("modules").forEach(function (module) {
    var linked = module[1].replace(/from "\.\/([\w-]+)\.mjs"/g, function (_, name) {
      return 'from "' + urls[name] + '"';
    });
    var source = linked + "\n//# sourceURL=explorer/" + module[0] + ".mjs\n";
    urls[module[0]] = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  });
  import(urls.main)
    .then(function (main) {
      return main.start(read("payload"), read("vendored"));
    })
    .catch(function (error) {
      console.error(error);
      fail("The model could not be started in this browser.", String((error && error.message) || error));
    });
})();
