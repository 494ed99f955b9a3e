/* A click on a figure opens it over the page, as large as it was drawn. Without this script the link opens the file. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.image-reference");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !window.HTMLDialogElement) return;
  const small = link.querySelector("img");
  const dialog = document.createElement("dialog");
  const close = document.createElement("button");
  const large = document.createElement("img");
  event.preventDefault();
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", "Enlarged figure");
  close.textContent = "Close";
  large.src = small.src;
  large.alt = small.alt;
  large.style.width = `${Math.max(parseFloat(small.style.width) || 0, small.naturalWidth / 2, 700)}px`;
  dialog.append(close, large);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    link.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
});
