/* Paper shows the images, too, that no window has shown yet. */
window.addEventListener("beforeprint", () => {
  for (const image of document.querySelectorAll("img[loading=lazy]")) {
    image.decoding = "sync";
    image.loading = "eager";
  }
});
