// The chosen theme, before anything is painted: a script of its own, since the page may have none inline.
try {
  const theme = localStorage.getItem("schedule.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is refused: the system's theme holds */ }
