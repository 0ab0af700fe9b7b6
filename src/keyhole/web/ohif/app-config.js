// Configuration of OHIF 3.13 behind a visit. One constant text: it depends on no share.
(function () {
  var visit = location.pathname.match(/^\/v\/([a-z2-7]{16})\//);
  var BASE = visit ? visit[0] : '/';
  var ROOT = BASE + 'dicom-web';
  var ended = false;

  function leave() {
    ended = true;
    window.location.replace(BASE + 'expired');
  }

  // A visit can end while nothing is fetched: all images may be here already. So ask now and then. Only a person's
  // doing (POST) counts as being there; an open window does not keep a visit from ending by idling.
  function watch() {
    var present = false;
    function ask() {
      if (ended || document.hidden) return;
      var method = present ? 'POST' : 'GET';
      present = false;
      fetch(BASE + 'here', { method: method, cache: 'no-store' }).then(function (answer) {
        if (answer.status === 401 || answer.status === 410) leave();
      }, function () {});
    }
    ['pointerdown', 'wheel', 'keydown'].forEach(function (name) {
      addEventListener(name, function () { present = true; }, { capture: true, passive: true });
    });
    document.addEventListener('visibilitychange', ask);
    setInterval(ask, 4000);
  }

  window.config = {
    name: 'keyhole',
    routerBasename: BASE,
    extensions: [],
    modes: [],
    showStudyList: false, // no list of studies, no unfiltered search
    showPatientInfo: 'visibleReadOnly',
    investigationalUseDialog: { option: 'never' },
    showErrorDetails: 'production',
    showLoadingIndicator: true,
    showCPUFallbackMessage: true,
    strictZSpacingForVolumeViewport: true,
    maxNumberOfWebWorkers: 3,
    maxNumRequests: { interaction: 20, thumbnail: 5, prefetch: 10 },
    studyPrefetcher: { enabled: false },
    multimonitor: [],
    measurementTrackingMode: 'none',
    customizationService: [{
      'ohif.tours': { $set: [] },
      'studyBrowser.studyMode': { $set: 'primary' },
      rightPanels: { $set: [] }, // no segmentation and measurement panels, so nothing that would write
      'panelMeasurement.disableEditing': { $set: true },
    }],
    whiteLabeling: {
      createLogoComponentFn: function (React) {
        return React.createElement('span', { className: 'text-foreground text-lg' }, 'Shared images');
      },
    },
    defaultDataSourceName: 'dicomweb',
    dataSources: [{
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'Shared images',
        name: 'keyhole',
        qidoRoot: ROOT,
        wadoRoot: ROOT,
        wadoUriRoot: ROOT,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: false,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        staticWado: false,
        singlepart: false,
        omitQuotationForMultipartRequest: true,
        loadMultiframeAsPart10: false, // segmentations by frames: a share to view has no whole instances
        bulkDataURI: {
          enabled: true,
          startsWith: location.origin + '/dicom-web',
          prefixWith: location.origin + ROOT,
        },
      },
    }],
    httpErrorHandler: function (error) { // must exist: without it every failed frame throws
      // Errors of streamed frames have no status, only a text that ends in it.
      var said = error && /got status (\d+)/.exec(error.message || '');
      var status = (error && error.status) || (said && +said[1]) || 0;
      if (status === 401 || status === 410) leave();
    },
  };

  // Inside the page of another site a browser may deny storage, which the viewer takes for granted.
  function keepInMemory(name) {
    var kept = new Map();
    Object.defineProperty(window, name, { configurable: true, value: {
      getItem: function (key) { return kept.has(String(key)) ? kept.get(String(key)) : null; },
      setItem: function (key, value) { kept.set(String(key), String(value)); },
      removeItem: function (key) { kept.delete(String(key)); },
      clear: function () { kept.clear(); },
      key: function (index) { return Array.from(kept.keys())[index] || null; },
      get length() { return kept.size; },
    } });
  }

  ['localStorage', 'sessionStorage'].forEach(function (name) {
    try { void window[name].length; } catch (denied) { keepInMemory(name); }
  });

  if (visit) watch();
})();
