// Elements and pictures.
export const find = (id) => document.getElementById(id);

export function draw(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
}

// Drawn where a camera gives no picture, so that it is not mistaken for darkness.
export function blank(canvas, view) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.save();
  context.fillStyle = "#9aa2a9";
  context.font = `${Math.max(12, Math.round(canvas.height / 20))}px system-ui, sans-serif`;
  context.textAlign = "right";
  context.fillText(`no ${view.split(/[-:]/)[0]} picture`, canvas.width * 0.95, canvas.height / 2);
  context.restore();
}

export function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export function rows(table, content) {
  table.tBodies[0].replaceChildren(
    ...content.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell) => element("td", cell)));
      return row;
    }),
  );
}
